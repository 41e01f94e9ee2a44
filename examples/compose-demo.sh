#!/usr/bin/env bash
# The cluster of docker-compose.yml, told from start to end: a volume that moves with its pod from node to node, volumes that
# three nodes write at once, a node that dies and comes back, one that does not, a node that joins. Leaves nothing behind.
#
# Needs root, Docker and either docker-compose or `docker compose`. Where no Docker runs, one of its own is started for the
# length of the story. The image is made from Debian's packages (packaging/image.sh): no registry is asked.
# On a slow machine, DEMO_PATIENCE multiplies how long anything may take.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
orlop=${ORLOP_BIN:-$here/../target/release/orlop}
story=$here/compose
scratch=$(mktemp -d "${TMPDIR:-/tmp}/orlop-compose.XXXXXX")
project=orlop-demo-$$
export ORLOP_DATA_DIR=$scratch ORLOP_PORT=${ORLOP_PORT:-16443}
# A silent node is missed after five seconds, and its pods five seconds later; by default it is 20 seconds and five minutes.
export ORLOP_NODE_GRACE=${ORLOP_NODE_GRACE:-5s} ORLOP_TOLERATION_SECONDS=${ORLOP_TOLERATION_SECONDS:-5}
patience=${DEMO_PATIENCE:-1}
docker_pid=''

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
note() { printf '   %s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

until_true() {
    local deadline=$((SECONDS + $1 * patience)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$what did not happen"
        sleep 0.2
    done
}

clean_up() {
    local code=$?
    trap - EXIT
    set +e
    if [ $code -ne 0 ] && [ -n "${compose:-}" ]; then
        printf '\n-- the end of what the containers said --\n' >&2
        for service in server node-1 node-2 node-3 nfs; do
            docker logs --tail 15 "$(container $service)" 2>&1 | sed "s/^/$service: /" >&2
        done
    fi
    [ -z "${compose:-}" ] || take_down >&2
    if [ -n "$docker_pid" ]; then
        kill "$docker_pid"
        wait "$docker_pid" 2>/dev/null
    fi
    rm -rf --one-file-system "$scratch"
    exit $code
}
trap clean_up EXIT

[ "$(id -u)" = 0 ] || fail 'needs root: it looks at loop devices and sockets of the machine (sudo make compose-demo)'
[ -x "$orlop" ] || fail "$orlop is not there; run \`make\` first"

# ------------------------------------------------------------------------------------------------------------- docker

# A Docker that is there is used; else one is started that touches neither the machine's firewall nor its images.
have_docker() {
    docker info >/dev/null 2>&1 && return
    command -v dockerd >/dev/null || fail 'needs Docker (Debian: apt-get install docker.io docker-compose debootstrap)'
    say 'No Docker runs here: starting one for the length of the story'
    dockerd --data-root "$scratch/docker" --exec-root "$scratch/docker-run" --pidfile "$scratch/docker.pid" \
        --host "unix://$scratch/docker.sock" --iptables=false --ip6tables=false --ip-masq=false \
        >"$scratch/docker.log" 2>&1 &
    docker_pid=$!
    export DOCKER_HOST=unix://$scratch/docker.sock
    until_true 60 'dockerd answering' docker info
}

have_docker
if docker compose version >/dev/null 2>&1; then
    compose='docker compose'
elif command -v docker-compose >/dev/null; then
    compose=docker-compose
else
    fail 'needs docker-compose (Debian: apt-get install docker-compose)'
fi
compose() { $compose --project-name "$project" --file "$here/../docker-compose.yml" "$@"; }
# Docker itself is asked where it can be: it answers sooner than a docker-compose that is a Python program.
container() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$project" \
        --filter "label=com.docker.compose.service=$1" --filter label=com.docker.compose.oneoff=False
}
on() { local node=$1; shift; docker exec "$(container "$node")" "$@"; }
volume() { docker volume inspect --format '{{.Mountpoint}}' "${project}_$1"; }

# Loop devices of the cluster's volumes, by the inodes of their files: the names that the kernel shows are those of a mount
# namespace that may be gone.
loops() {
    local pool device numbers
    for pool in pool node-1 node-2 node-3 node-4; do
        find "$(volume $pool 2>/dev/null || echo /nowhere)" -xdev -name '*.img' -printf '%i %f\n' 2>/dev/null || true
    done >"$scratch/images"
    losetup --list --noheadings --output NAME,BACK-INO | while read -r device numbers; do
        sed -n "s|^$numbers |$device of |p" "$scratch/images"
    done
}

take_down() {
    local node
    docker stop "${project}_joined" >/dev/null 2>&1 || true
    # Each node takes down what it made, also one that was killed: its journal says what that was.
    for node in node-1 node-2 node-3 node-4; do
        docker stop --time 30 "$(container $node)" >/dev/null 2>&1 || true
        docker volume inspect "${project}_$node" >/dev/null 2>&1 || continue
        printf '%s: ' $node
        compose run --rm -T "$node" node orlop down 2>/dev/null || echo 'nothing'
    done
    compose --profile more down --volumes --remove-orphans >/dev/null 2>&1
}

# ---------------------------------------------------------------------------------------------- by kubectl or by curl

usable_kubectl() {
    command -v kubectl >/dev/null || return 1
    local minor
    minor=$(kubectl version --client 2>/dev/null | sed -n 's/^Client Version: v1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 30 ]
}
. "$here/demo-curl.sh"
by=curl
if [ "${DEMO_CLIENT:-}" != curl ] && usable_kubectl; then by=kubectl && . "$here/demo-kubectl.sh"; fi

# Fills a template of the story in: `made NAME TEMPLATE WORD=VALUE…`.
made() {
    local file=$scratch/$1.yaml template=$2 pair
    cp "$story/$template" "$file"
    shift 2
    for pair in "$@"; do
        sed -i "s|${pair%%=*}|$(printf '%s' "${pair#*=}" | sed 's/[\\&|]/\\&/g')|" "$file"
    done
    echo "$file"
}
pod() { made "pod-$1" pod.yaml "NAME=$1" "NODE=$2" "CLAIM=$3" "SCRIPT=$4"; }

# What can be told of the cluster now, a line each: how nodes are, where pods are, what Events say.
rows() { api -H 'Accept: application/json;as=Table;v=v1;g=meta.k8s.io' "$1?includeObject=None" | grep -o '"cells":\[[^]]*\]'; }
news() {
    rows "$(collection nodes)" | sed 's/"cells":\["\([^"]*\)","\([^"]*\)".*/\1 is \2/'
    # A container's event names it in braces, which end the object for a regular expression.
    api "$(collection events)" | sed 's/"fieldPath":"[^"]*",//g' |
        grep -o '"involvedObject":{[^}]*}\|"message":"\([^"\\]\|\\.\)*"\|"reason":"[^"]*"' | paste - - - |
        sed 's/.*"kind":"\([^"]*\)","name":"\([^"]*\)".*"message":"\(.*\)"[[:space:]]"reason":"\([^"]*\)"/\1 \2: \4: \3/; s/\\"/"/g'
}
# Tells second by second what is new until a command succeeds: `narrate SECONDS WHAT COMMAND…`.
narrate() {
    local begun=$SECONDS limit=$(($1 * patience)) what=$2 line reached=''
    shift 2
    while :; do
        # First the command: what made it succeed is then among the news.
        if "$@" >/dev/null 2>&1; then reached=yes; fi
        news >"$scratch/news" || true
        awk 'NR == FNR { told[$0]; next } !($0 in told) { told[$0]; print }' "$scratch/told" "$scratch/news" >"$scratch/new"
        while IFS= read -r line; do printf '  +%2d s  %s\n' $((SECONDS - begun)) "$line"; done <"$scratch/new"
        cat "$scratch/new" >>"$scratch/told"
        [ -z "$reached" ] || return 0
        [ $((SECONDS - begun)) -lt "$limit" ] || fail "$what did not happen"
        sleep 1
    done
}
forget() { news >"$scratch/told"; }

nodes_ready() { [ "$(rows "$(collection nodes)" | grep -c '","Ready"')" = "$1" ]; }
node_is() { rows "$(collection nodes)" | grep "\"$1\"" | grep -q "\"$2\""; }
said_of() {
    api "$(collection events)?fieldSelector=involvedObject.name=$1" |
        grep -o '"message":"\([^"\\]\|\\.\)*"' | grep -q "$2"
}
# Whether a pod is about to go and has not gone.
is_going() { api "$(collection pods)/$1" | grep -q '"deletionTimestamp"'; }
# Whether the one volume left is the claim's of this name.
only() {
    local volume
    volume=$(field "$(collection persistentvolumeclaims)/$1" volumeName)
    [ "$(rows "$(collection persistentvolumes)" | grep -vc "\"$volume\"")" = 0 ]
}
out_of_service() {
    local taint=node.kubernetes.io/out-of-service
    if [ "$by" = kubectl ]; then
        shown taint node "$1" $taint=nodeshutdown:NoExecute
        return
    fi
    # It has a list of taints already, since it is not ready; this one goes to its end.
    local patch="[{\"op\":\"add\",\"path\":\"/spec/taints/-\",\"value\":{\"key\":\"$taint\",\"value\":\"nodeshutdown\",\"effect\":\"NoExecute\"}}]"
    told "-X PATCH -H 'Content-Type: application/json-patch+json' -d '$patch' $(collection nodes)/$1"
    api -X PATCH -H 'Content-Type: application/json-patch+json' -d "$patch" "$(collection nodes)/$1" >/dev/null
}
one_loop() { [ "$(loops | wc -l)" -le 1 ]; }
field() { api "$1" | tr ',{' '\n\n' | sed -n "s|.*\"$2\":\"\([^\"]*\)\".*|\1|p" | head -n 1; }

# --------------------------------------------------------------------------------------------------------- the story

say 'An image from Debian'\''s packages and the built binary'
sh "$here/../packaging/image.sh" "$orlop"

say "A server, three nodes and an NFS server: $compose up"
begun=$SECONDS
compose up -d --no-build >"$scratch/up.log" 2>&1 || { cat "$scratch/up.log"; fail "$compose up"; }
ln -s "$(volume server)/api.sock" "$scratch/api.sock"
until_true 120 'three nodes becoming Ready' nodes_ready 3
note "all nodes Ready after $((SECONDS - begun)) s"
on server cat /var/lib/orlop/admin.kubeconfig | sed "s|server: .*|server: https://127.0.0.1:$ORLOP_PORT|" \
    >"$scratch/admin.kubeconfig"
list nodes
for node in node-1 node-2 node-3; do
    on $node sh -c 'sh /usr/local/lib/orlop/busybox-image.sh /tmp/busybox.tar && orlop image load /tmp/busybox.tar' >/dev/null
done
note 'every node has the image busybox'

say 'A volume in the pool that all nodes see, and a pod on node-1 that writes to it'
apply "$story/classes.yaml"
apply "$story/ledger.yaml"
apply "$(pod writer node-1 ledger 'echo "written on node-1" > /data/page; echo done; sleep 3600')"
wait_phase pods writer Running
until_true 30 'the writer having written' logged writer done
list volumeattachments
loops

say 'The pod moves to node-2: detached here, attached there, the data with it'
delete pods writer
apply "$(pod reader node-2 ledger 'cat /data/page; sleep 3600')"
wait_phase pods reader Running
until_true 30 'the reader finding the page' logged reader 'written on node-1'
logs reader
list volumeattachments
delete pods reader

# Whether pods of any node can mount what another machine exports.
client=''
if grep -qw nfs4 /proc/filesystems || modprobe nfsv4 2>/dev/null; then client=yes; fi

say 'A volume that many write: class nfs, a file with a file system of its own, exported by the node that keeps it'
apply "$story/board.yaml"
wait_phase persistentvolumeclaims board Bound
keeper=$(field "$(collection persistentvolumes)/$(field "$(collection persistentvolumeclaims)/board" volumeName)" volume.orlop.dev/keeper)
note "its keeper is $keeper"
if [ -n "$client" ]; then
    writers='on-node-1 on-node-2 on-node-3'
    note "node-1, node-2 and node-3 write at once: $keeper to the directory itself, the others through its NFS server"
else
    writers='one two three'
    note "This machine's kernel has no NFS client, so only pods on $keeper can use the volume: they need none, and three of"
    note 'them write at once. With a client, node-1, node-2 and node-3 would (make test-vm shows it, in a guest).'
fi
for name in $writers; do
    node=$keeper
    [ -z "$client" ] || node=${name#on-}
    apply "$(pod "$name" "$node" board "while n=\$((n+1)); do echo \$(date +%T) $name writes \$n >>/data/$name.log; echo wrote \$n; sleep 1; done")"
done
for name in $writers; do
    wait_phase pods "$name" Running
    until_true 60 "$name writing" logged "$name" 'wrote 3'
done
node=$keeper
[ -z "$client" ] || node=node-1
apply "$(pod reader "$node" board 'sort /data/*.log | tail -n 9; echo read; sleep 3600')"
until_true 60 'the board being read' logged reader read
logs reader
for name in $writers reader; do delete pods "$name"; done
if [ -z "$client" ]; then
    far=node-1
    [ $keeper != node-1 ] || far=node-2
    note "And what is a pod on $far told?"
    forget
    apply "$(pod far $far board 'sleep 3600')"
    narrate 60 'the reason being said' said_of far 'NFS client'
    delete pods far
fi
delete persistentvolumeclaims board

say 'The same on a server that was there already: the container nfs, which knows nothing of Orlop'
apply "$story/cellar.yaml"
forget
apply "$story/shelf.yaml"
if [ -n "$client" ]; then
    narrate 60 'the claim being bound' is_phase persistentvolumeclaims shelf Bound
    for node in node-1 node-2 node-3; do
        apply "$(pod "on-$node" "$node" shelf "echo $node was here >/data/$node; sync; echo done; sleep 3600")"
    done
    for node in node-1 node-2 node-3; do until_true 60 "the pod on $node writing" logged "on-$node" 'done'; done
    note 'what the server has:'
    on nfs sh -c 'cd /export && grep -r . --exclude-dir=.orlop .'
    for node in node-1 node-2 node-3; do delete pods "on-$node"; done
else
    narrate 60 'the reason being said' said_of shelf 'NFS client'
fi
delete persistentvolumeclaims shelf
until_true 60 'the volumes of many going away' only ledger

say 'node-3 dies, with a pod whose volume only one node may write'
apply "$(pod keeper node-3 ledger 'echo "last seen on node-3" > /data/page; sync; echo done; sleep 3600')"
wait_phase pods keeper Running
until_true 30 'the page being written' logged keeper 'done'
forget
printf '\033[2m$ docker kill node-3\033[0m\n'
docker kill "$(container node-3)" >/dev/null
narrate 90 'node-3 becoming NotReady' node_is node-3 NotReady
note "its pod does not tolerate that for longer than $ORLOP_TOLERATION_SECONDS s; but nobody has seen it end"
narrate 60 'the pod being evicted' is_going keeper

say 'Somebody wants the data on node-1. Nobody knows whether node-3 still writes: the volume stays where it is'
apply "$(pod heir node-1 ledger 'cat /data/page; sleep 3600')"
narrate 60 'the reason being said' said_of heir node-3
list volumeattachments
note 'What node-3 left on the machine: pods, mounts and cgroups went with its container; a loop device is the kernel'\''s.'
loops

say 'node-3 comes back, lets go of what it had, and the heir gets it'
printf '\033[2m$ docker start node-3\033[0m\n'
docker start "$(container node-3)" >/dev/null
narrate 120 'the heir running' logged heir 'last seen on node-3'
logs heir
list volumeattachments
one_loop || fail "more than one loop device: $(loops)"
delete pods heir

say 'node-3 dies once more, and this time it stays dead'
apply "$(pod last node-3 ledger 'echo "its last words" > /data/page; sync; echo done; sleep 3600')"
wait_phase pods last Running
until_true 30 'the page being written' logged last 'done'
forget
printf '\033[2m$ docker kill node-3\033[0m\n'
docker kill "$(container node-3)" >/dev/null
apply "$(pod successor node-1 ledger 'cat /data/page; sleep 3600')"
narrate 90 'the reason being said' said_of successor out-of-service
note 'Only a person can know that the machine is off, and says so:'
out_of_service node-3
narrate 60 'the successor running' logged successor 'its last words'
logs successor
list volumeattachments
one_loop || fail "more than one loop device: $(loops)"
delete pods successor

say 'A fourth node joins by the printed command'
printf '\033[2m$ orlop token create\033[0m\n'
on server orlop token create >"$scratch/join"
sed 's/orlop1\.[0-9a-f.]*/orlop1.…/' "$scratch/join"
compose run -d -T --name "${project}_joined" node-4 node sh -c "cd /tmp && $(grep -v '^#' "$scratch/join" | paste -sd ' ' | sed 's/ orlop agent/ \&\& exec orlop agent/')" >/dev/null 2>&1
until_true 60 'node-4 becoming Ready' node_is node-4 Ready
list nodes

say 'Everything is taken down'
delete persistentvolumeclaims ledger
until_true 30 'the volumes going away' none persistentvolumes
take_down
compose=''
[ -z "$(losetup --list --noheadings --output BACK-FILE | grep "$project" || true)" ] || fail 'loop devices are left'
note 'no container, no volume, no loop device of the cluster is left'
