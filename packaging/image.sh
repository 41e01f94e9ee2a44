#!/bin/sh
# Makes the image `orlop:local` where no registry can be reached: the base from Debian's packages by debootstrap, the binary
# from this machine. As root, with debootstrap and a running Docker:
#
#     packaging/image.sh [ORLOP]          ORLOP is the binary [default: target/release/orlop]
#     packaging/image.sh --base           only the base, as a file: for a machine that reaches no mirror. Needs no Docker
#
# The base is kept as `orlop-base:12`, and as a file in target/ for a Docker that is new; remove both to have it made anew.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
orlop=${1:-$here/../target/release/orlop}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
base=${CARGO_TARGET_DIR:-$here/../target}/orlop-base.tar
[ "$orlop" = --base ] || [ -x "$orlop" ] || { echo "$0: there is no $orlop; build it with \`make\`, or name another" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Into FILE, which is there only when it is whole.
make_base() {
    command -v debootstrap >/dev/null || { echo "$0: install debootstrap" >&2; exit 1; }
    echo "image: making a base from Debian's packages (a minute or two)"
    packages=$(tr ' \n' ',,' <"$here/packages" | sed 's/,*$//')
    debootstrap --variant=minbase --include="$packages" bookworm "$work/base" "$mirror" >"$work/log" 2>&1 ||
        { tail -n 20 "$work/log" >&2; exit 1; }
    # Archives and lists are of no use in an image.
    rm -rf "$work/base/var/cache/apt/archives" "$work/base/var/lib/apt/lists"
    mkdir -p "$work/base/var/cache/apt/archives/partial" "$work/base/var/lib/apt/lists/partial" "$(dirname "$1")"
    tar -C "$work/base" --one-file-system --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -cf "$1.part" .
    mv "$1.part" "$1"
}

if [ "$orlop" = --base ]; then
    [ -f "$base" ] || make_base "$base"
    exit
fi
if ! docker image inspect orlop-base:12 >/dev/null 2>&1; then
    [ -f "$base" ] || make_base "$base"
    docker import "$base" orlop-base:12 >/dev/null
fi

mkdir "$work/context"
cp "$here/Dockerfile.local" "$work/context/Dockerfile"
cp "$here/container.sh" "$here/ganesha.conf" "$here/../examples/busybox-image.sh" "$orlop" "$work/context/"
[ "${orlop##*/}" = orlop ] || mv "$work/context/${orlop##*/}" "$work/context/orlop"
# Neither a network nor BuildKit is needed for copying.
DOCKER_BUILDKIT=0 docker build --quiet --tag orlop:local "$work/context" >"$work/id" 2>"$work/log" ||
    { cat "$work/log" >&2; exit 1; }
echo "image: orlop:local is $(cat "$work/id")"
