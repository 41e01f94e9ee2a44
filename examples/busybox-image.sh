#!/bin/sh
# Makes an image of the machine's own static busybox, without Docker and without a network:
#
#     examples/busybox-image.sh FILE [NAME [COMMAND [ARGUMENT...]]]
#
# FILE becomes what `docker save busybox:latest` would write: load it with `orlop image load FILE`. With a NAME it stands in
# for that image: `examples/busybox-image.sh web.tar nginx httpd -f -h /usr/share/nginx/html` serves what nginx would.
# Needs /bin/busybox (Debian: busybox-static), tar and sha256sum.
#
# What is in it, by the names that manifest.json gives:
#
#     manifest.json          [{"Config": "<digest>.json", "RepoTags": ["NAME:latest"], "Layers": ["layer.tar"]}]
#     <digest>.json          the configuration; its sha256 is the image's id
#     layer.tar              the root file system; its sha256 is the one diff_id of the configuration
set -eu

[ $# -ge 1 ] || { echo "usage: $0 FILE [NAME [COMMAND [ARGUMENT...]]]" >&2; exit 2; }
case $1 in
/*) out=$1 ;;
*) out=$PWD/$1 ;;
esac
name=${2:-busybox}
shift
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- sh
command=$(printf ',"%s"' "$@") # the words of a command that needs no escapes in JSON
busybox=${BUSYBOX:-/bin/busybox}
[ -x "$busybox" ] || { echo "$0: no $busybox; install the package busybox-static" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# The root file system: one program under the names of all its applets.
root=$work/root
mkdir -p "$root/bin" "$root/etc" "$root/root" "$root/tmp" "$root/var/tmp" "$root/usr" "$root/home" "$root/dev" \
    "$root/proc" "$root/sys"
ln -s ../bin "$root/usr/bin"
ln -s bin "$root/sbin"
chmod 0755 "$root" "$root/bin" "$root/etc" "$root/var" "$root/usr" "$root/home"
chmod 0700 "$root/root"
chmod 1777 "$root/tmp" "$root/var/tmp"
cp "$busybox" "$root/bin/busybox"
chmod 0755 "$root/bin/busybox"
for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n' \
    >"$root/etc/passwd"
printf 'root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n' >"$root/etc/group"
chmod 0644 "$root/etc/passwd" "$root/etc/group"

# The same busybox gives the same image, byte for byte: fixed order, owner and time.
pack() {
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=gnu "$@"
}
digest() {
    sha256sum "$1" | cut -d ' ' -f 1
}

pack -C "$root" -cf "$work/layer.tar" .
case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) arch=$(uname -m) ;;
esac
printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Cmd":[%s],"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$arch" "${command#,}" "$(digest "$work/layer.tar")" >"$work/config"
config=$(digest "$work/config").json
mv "$work/config" "$work/$config"
printf '[{"Config":"%s","RepoTags":["%s:latest"],"Layers":["layer.tar"]}]\n' "$config" "$name" >"$work/manifest.json"

# Written beside its place and renamed: a file of that name is always whole.
pack -C "$work" -cf "$out.part" manifest.json "$config" layer.tar
mv "$out.part" "$out"
