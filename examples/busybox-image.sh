#!/bin/sh
# Makes an image archive, in the form that `docker save` writes, from Debian's static busybox. No container engine needed.
# Usage: busybox-image.sh FILE
set -eu

out=${1:?usage: busybox-image.sh FILE}
busybox=$(command -v busybox) || { echo 'busybox-image: install the package busybox-static' >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/root/bin" "$work/root/etc" "$work/root/tmp" "$work/root/root" "$work/image/layer"
chmod 1777 "$work/root/tmp"
cp "$busybox" "$work/root/bin/busybox"
for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$work/root/bin/$applet"
done
echo 'root:x:0:0:root:/root:/bin/sh' >"$work/root/etc/passwd"
echo 'root:x:0:' >"$work/root/etc/group"

# The same bytes on every machine: sorted names, no owner, no time.
tar -C "$work/root" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$work/image/layer/layer.tar" .
layer=$(sha256sum "$work/image/layer/layer.tar" | cut -d' ' -f1)
printf '{"architecture":"%s","os":"linux","config":{"Cmd":["sh"],"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')" "$layer" >"$work/config.json"
config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
mv "$work/config.json" "$work/image/$config.json"
printf '[{"Config":"%s.json","RepoTags":["busybox:latest"],"Layers":["layer/layer.tar"]}]' "$config" \
    >"$work/image/manifest.json"
tar -C "$work/image" -cf "$out" manifest.json "$config.json" layer
