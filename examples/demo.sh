#!/usr/bin/env bash
# The main job, told from start to end on this machine: a class, a claim and a pod; the pod's file outlives the pod; the
# claim's deletion takes everything with it. Uses kubectl >= 1.30 where there is one, else curl. Leaves nothing behind.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
orlop=${ORLOP_BIN:-$here/../target/release/orlop}
story=$here/first-volume
scratch=$(mktemp -d "${TMPDIR:-/tmp}/demo-orlop.XXXXXX")
export ORLOP_DATA_DIR=$scratch/data
server='' watchers=''

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# Waits for a state, never for a time: `until_true SECONDS WHAT COMMAND…`.
until_true() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$what did not happen"
        sleep 0.05
    done
}

leftovers() {
    grep -F " $ORLOP_DATA_DIR/" /proc/self/mountinfo || true
    for loop in /sys/block/loop*/loop/backing_file; do
        [ -e "$loop" ] && grep -lF "$ORLOP_DATA_DIR/" "$loop" || true
    done
}

nothing_left() {
    [ -z "$(leftovers)" ]
}

clean_up() {
    local code=$?
    trap - EXIT
    [ -z "$watchers" ] || kill $watchers 2>/dev/null || true
    if [ $code -ne 0 ] && [ -s "$scratch/log" ]; then
        printf '\n-- the end of what orlop said --\n' >&2
        tail -n 40 "$scratch/log" >&2
    fi
    if [ -n "$server" ]; then
        "$orlop" down >&2 || true
        wait "$server" 2>/dev/null || true
    fi
    "$orlop" reset --yes >/dev/null 2>&1 || true
    rm -rf --one-file-system "$scratch"
    exit $code
}
trap clean_up EXIT

[ "$(id -u)" = 0 ] || fail 'needs root: volumes are loop devices and mounts (sudo make demo)'
[ -x "$orlop" ] || fail "$orlop is not there; run \`make\` first"

# ---------------------------------------------------------------------------------------------- by kubectl or by curl

usable_kubectl() {
    command -v kubectl >/dev/null || return 1
    local minor
    minor=$(kubectl version --client 2>/dev/null | sed -n 's/^Client Version: v1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 30 ]
}

if [ "${DEMO_CLIENT:-}" = curl ] || ! usable_kubectl; then
    . "$here/demo-curl.sh"
    client='curl (no kubectl >= 1.30 here)'
    [ "${DEMO_CLIENT:-}" != curl ] || client='curl (asked for by DEMO_CLIENT)'
else
    . "$here/demo-kubectl.sh"
    client="kubectl $(kubectl version --client | sed -n 's/^Client Version: //p')"
fi

# ------------------------------------------------------------------------------------------------------- the story

say "Starting Orlop in $ORLOP_DATA_DIR; talking to it with $client"
"$orlop" up --listen 127.0.0.1:0 >"$scratch/log" 2>&1 &
server=$!
until_true 30 'orlop saying ready' grep -q '^ready' "$scratch/log"
grep '^ready' "$scratch/log"

say 'An image, made from busybox-static'
sh "$here/busybox-image.sh" "$scratch/busybox.tar"
show "$orlop" image load "$scratch/busybox.tar"
show "$orlop" image ls

begin_watching

say 'A class and a claim: the claim waits for its first consumer, and says so'
apply "$story/class.yaml"
apply "$story/claim.yaml"
get persistentvolumeclaims data
reasons persistentvolumeclaims data

say 'A pod that uses it: provision, attach, stage, publish, run'
apply "$story/writer.yaml"
wait_phase pods writer Running
wait_phase persistentvolumeclaims data Bound
get persistentvolumeclaims data
get pods writer
list persistentvolumes
list volumeattachments
until_true 20 'the writer filling its volume' logged writer 'full at its own size'
logs writer
say 'The same, as the kernel sees it'
show losetup --list --output NAME,SIZELIMIT,DIO,BACK-FILE | grep -F "$ORLOP_DATA_DIR" || true
findmnt --list --noheadings --output SOURCE,FSTYPE,SIZE,TARGET | grep -F "$ORLOP_DATA_DIR" || true

say 'The pod goes; another one reads what it wrote'
delete pods writer
apply "$story/reader.yaml"
wait_phase pods reader Succeeded
logs reader
logged reader 'written by writer' || fail 'the second pod did not find the file of the first'
delete pods reader

say 'The claim goes, and with it volume, loop device, mounts and file'
delete persistentvolumeclaims data
until_true 20 'the volume going away' none persistentvolumes
until_true 20 'the loop device and its mounts going away' nothing_left
[ -z "$(ls "$ORLOP_DATA_DIR/pool")" ] || fail "files are left in the pool: $(ls "$ORLOP_DATA_DIR/pool")"
list persistentvolumes
end_watching

say 'Everything is taken down'
show "$orlop" down
wait "$server" || true
server=''
[ -z "$(leftovers)" ] || fail "left behind: $(leftovers)"
printf 'no loop device and no mount lies under %s\n' "$ORLOP_DATA_DIR"
