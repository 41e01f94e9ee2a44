#!/bin/bash
# The rest of a guest's start, on its root; then it serves the control channel: a line is a number and a script in base64,
# the answer is the number, the exit code and the output in base64. Scripts run side by side.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
for word in $(</proc/cmdline); do
    case $word in
    guest.name=*) name=${word#*=} ;;
    guest.address=*) address=${word#*=} ;;
    guest.modules=*) modules=${word#*=} ;;
    esac
done
hostname "$name"
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/guest /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
mkdir -p /lib/modules && mount --bind "$modules" /lib/modules
ip link set lo up
ip link set eth0 up
ip address add "$address/24" dev eth0

serve() {
    local output=/run/guest/$1
    bash -c "$(base64 -d <<<"$2")" >"$output" 2>&1 </dev/null 3>&-
    local code=$?
    # A long answer is more than one write: whole answers follow each other.
    {
        flock 9
        printf '%s %s %s\n' "$1" "$code" "$(base64 -w 0 "$output")" >&3
    } 9>/run/guest/lock
    rm -f "$output"
}

# The kernel numbers ports as it finds them; QEMU gave this one its name.
for port in /sys/class/virtio-ports/*; do
    [ "$(<"$port/name")" != control ] || exec 3<>"/dev/${port##*/}"
done
echo "guest: $name is up after $(cut -d ' ' -f 1 /proc/uptime) s, kernel $(uname -r)"
while read -r number script <&3; do
    serve "$number" "$script" &
done
# The test is gone, and with it the other end of the channel.
echo o >/proc/sysrq-trigger
while :; do read -r -t 1 _ <>/dev/ttyS0; done
