#!/bin/busybox sh
# First program of a guest, in its initramfs: finds the root (the host's, read-only, under a tmpfs) and goes there.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/mods/$module" || echo "guest: insmod $module failed"; done </mods/order
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro hostroot /ro || exec sh
mount -t tmpfs -o size=50% tmpfs /rw
mkdir -p /rw/upper /rw/work
mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work overlay /root || exec sh
for tree in dev proc sys; do mount --move /$tree /root/$tree; done
# The tmpfs stays mounted by the overlay; nobody needs it by a name of its own.
cp /guest /root/.guest
exec switch_root /root /bin/bash /.guest
