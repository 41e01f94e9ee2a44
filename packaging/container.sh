#!/bin/sh
# First program of the containers of docker-compose.yml. Join tokens reach the agents through the volume /join: a file each,
# written by the server, named after the node.
#
#     server [FLAG…]     the server, and a token for each node of NODES
#     agent [FLAG…]      the node that this container is, once its token is there
#     node COMMAND…      the same place for a node, for a command that was printed somewhere (how a fourth node joins)
#     nfs                an NFS server of /export
#     healthy            whether this container's node is Ready
#     COMMAND…           anything else
set -eu

join=/join

# Pods belong into this container's own cgroup: then its end is theirs as well, as a power cut would be, and nothing of them
# stays on the machine. Docker shows that cgroup read-only.
own_cgroups() {
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
        mount -o remount,bind,rw /sys/fs/cgroup
        # Version 2 gives controllers to a cgroup's children only when no process is in the cgroup itself.
        mkdir -p /sys/fs/cgroup/node
        while read -r pid; do echo "$pid" >/sys/fs/cgroup/node/cgroup.procs || true; done </sys/fs/cgroup/cgroup.procs
        for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
            echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
        done
    else
        for hierarchy in /sys/fs/cgroup/*/; do mount -o remount,bind,rw "$hierarchy"; done
    fi
}

ready() { curl --silent --fail --output /dev/null --unix-socket "$ORLOP_DATA_DIR/api.sock" http://orlop/readyz; }

# A fresh token for every node of NODES: one that joined before does not need it, and an old one may have run out.
write_tokens() {
    until ready; do sleep 0.2; done
    for node in $NODES; do
        # The server may answer before it has written down how it is reached.
        until orlop token create --quiet >"$join/.$node"; do sleep 0.2; done
        chmod 0600 "$join/.$node"
        mv "$join/.$node" "$join/$node"
    done
}

: "${ORLOP_DATA_DIR:=/var/lib/orlop}"
export ORLOP_DATA_DIR
role=${1:-}
[ $# -eq 0 ] || shift
case $role in
server)
    # Orphaned on purpose: the init of this container waits for it, not the server.
    (write_tokens &)
    exec orlop server --listen 0.0.0.0:6443 --tls-san server "$@"
    ;;
agent)
    own_cgroups
    mkdir -p /node/pool
    until [ -s "$join/$(hostname)" ]; do sleep 0.2; done
    exec orlop agent --server https://server:6443 --token "$join/$(hostname)" "$@"
    ;;
node)
    own_cgroups
    exec "$@"
    ;;
healthy)
    # A node is well when its server says so; it may ask about itself.
    cd "$ORLOP_DATA_DIR/pki"
    curl --silent --fail --cacert ca.crt --cert node.crt --key node.key \
        "https://server:6443/api/v1/nodes/$(hostname)" | grep -q '"status":"True","type":"Ready"'
    ;;
nfs)
    mkdir -p /export /run/ganesha /var/lib/nfs/ganesha
    chmod 1777 /export
    exec ganesha.nfsd -F -L STDOUT -p /run/ganesha/pid -N NIV_EVENT -f /usr/local/lib/orlop/ganesha.conf
    ;;
'')
    echo 'container: server, agent, node, nfs, healthy, or a command' >&2
    exit 2
    ;;
*) exec "$role" "$@" ;;
esac
