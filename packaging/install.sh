#!/bin/sh
# Installs Orlop on this machine, or takes it away:
#
#     packaging/install.sh install ORLOP      binary, units, and /etc/orlop/orlop.env unless there is one; starts nothing
#     packaging/install.sh uninstall          stops, unmounts and removes all but /etc/orlop and the data
#     packaging/install.sh uninstall --data   the data as well
#
# PREFIX [/usr/local] and DESTDIR [none] are as everywhere. With DESTDIR files are put in place and nothing is asked of the
# running system.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}
units='orlop.service orlop-server.service orlop-agent.service'

bin=$root$prefix/bin
unit_dir=$root$prefix/lib/systemd/system
[ "$prefix" != /usr ] || unit_dir=$root/usr/lib/systemd/system

# Whether the machine's own systemd is to be told.
live() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

do_install() {
    [ -x "$1" ] || { echo "install: there is no program $1; build it with \`make\`" >&2; exit 1; }
    install -D --mode 0755 "$1" "$bin/orlop"
    for unit in $units; do
        mkdir -p "$unit_dir"
        sed "s|/usr/local/bin/|$prefix/bin/|" "$here/systemd/$unit" >"$unit_dir/$unit"
    done
    [ -e "$root/etc/orlop/orlop.env" ] || install -D --mode 0644 "$here/systemd/orlop.env" "$root/etc/orlop/orlop.env"
    if live; then systemctl daemon-reload; fi
    echo "installed $bin/orlop; start it with: systemctl enable --now orlop (or orlop-server, orlop-agent)"
}

data_dir() {
    # systemd takes the value in quotes as well.
    named=$(sed -n 's/^ORLOP_DATA_DIR=//p' "$root/etc/orlop/orlop.env" 2>/dev/null | tail -n 1 | tr -d "\"'")
    echo "${ORLOP_DATA_DIR:-${named:-/var/lib/orlop}}"
}

do_uninstall() {
    dir=$(data_dir)
    if live; then
        for unit in $units; do systemctl disable --now "$unit" 2>/dev/null || true; done
    fi
    # First what is mounted and running: without the binary nobody would know what it is.
    if [ -z "$root" ] && [ -e "$dir/instance" ]; then
        orlop=$bin/orlop
        [ -x "$orlop" ] || { echo "uninstall: $orlop is not there to take down what runs from $dir" >&2; exit 1; }
        "$orlop" --data-dir "$dir" down ||
            { echo "uninstall: not everything could be taken down; nothing was removed" >&2; exit 1; }
        [ "$1" != --data ] || "$orlop" --data-dir "$dir" reset --yes
    fi
    for unit in $units; do rm -f "$unit_dir/$unit"; done
    rm -f "$bin/orlop"
    if live; then systemctl daemon-reload; fi
    if [ -n "$root" ]; then
        echo "uninstalled; /etc/orlop stays"
    elif [ ! -e "$dir/instance" ]; then
        echo "uninstalled; /etc/orlop stays; there is no data of Orlop in $dir"
    else
        echo "uninstalled; the data in $dir and /etc/orlop stay (with DATA=yes the data would have gone as well)"
    fi
}

case ${1:-} in
install) do_install "${2:?the binary}" ;;
uninstall) do_uninstall "${2:-}" ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
