#!/bin/sh
# Installs what building and testing need, and only what is missing. Arguments: Debian packages.
set -eu

export PATH="$HOME/.cargo/bin:$PATH"

missing=''
if command -v dpkg-query >/dev/null; then
    for package in "$@"; do
        dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        [ "$(id -u)" = 0 ] || { echo "setup: as root: apt-get install$missing" >&2; exit 1; }
        echo "setup: installing$missing"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
        # Debian starts a server of its own with the package; Orlop wants the program only.
        case "$missing " in
        *' nfs-ganesha '*) ! command -v systemctl >/dev/null || systemctl disable --quiet --now nfs-ganesha || true ;;
        esac
    fi
    # nfs-ganesha reads it. An installed system has it, a bare root (debootstrap) may not.
    [ "$(id -u)" != 0 ] || [ -e /etc/mtab ] || ln -sf ../proc/self/mounts /etc/mtab
else
    for program in runc conmon mkfs.ext4 mkfs.xfs blkid gcc curl tar busybox; do
        command -v "$program" >/dev/null || missing="$missing $program"
    done
    [ -z "$missing" ] || {
        echo "setup: this is not Debian; please install what holds:$missing" >&2
        echo "setup: (Debian calls the packages: $*)" >&2
        exit 1
    }
fi

if ! command -v cargo >/dev/null; then
    echo 'setup: installing rustup; it fetches the toolchain that rust-toolchain.toml names'
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo 'setup: please install rustup' >&2; exit 1; }
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rustup >/dev/null 2>&1; then
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal
    fi
fi
