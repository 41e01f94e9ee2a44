//! NFS servers in guests, as they are there already in somebody's cellar: each exports `/srv/shared`, on a disk of its own,
//! to everybody on the segment, by NFSv4.2. Started again after a power cut, they go on with what is on the disk.
//!
//! Those of [`careful_ganesha`] and [`careful_kernel`] let nodes do less, as servers do that nobody has set up for Orlop:
//!
//! | share, on its disk below `/srv` | mode, owner root | what it lets a node's root do |
//! |---|---|---|
//! | `/shared` | 1777 | everything |
//! | `/read-only` | 1777 | read |
//! | `/squashed` | 1777 | what it lets nobody do: root is squashed |
//! | `/squashed/private` | 0755, a directory of the former | read: root is squashed |
//! | `/closed` | 1777 | nothing: it is another machine's |
//! | `/low-ports` | 1777 | everything, from a port below 1024 |

use anyhow::Result;

use super::{Guest, Lab};

/// The disk, with what a server must remember of its clients on it.
const DISK: &str = "blkid /dev/vda >/dev/null || mkfs.ext4 -q /dev/vda
     mkdir -p /srv /var/lib/nfs && mount /dev/vda /srv && mkdir -p /srv/shared /srv/state && chmod 1777 /srv/shared
     mount --bind /srv/state /var/lib/nfs && mkdir -p /var/lib/nfs/ganesha /var/lib/nfs/v4recovery
     touch /var/lib/nfs/etab /var/lib/nfs/rmtab";

/// One port, and nothing that must be registered with rpcbind. A lease shorter than this ends while an emulated client is
/// busy.
const GANESHA: &str = "
NFS_CORE_PARAM {
  Protocols = 4; NFS_Port = 2049; Enable_UDP = false; Enable_RQUOTA = false; mount_path_pseudo = true;
}
NFSV4 { Grace_Period = 5; Lease_Lifetime = 30; Minor_Versions = 1, 2; RecoveryBackend = fs; Only_Numeric_Owners = true; }
NFS_KRB5 { Active_krb5 = false; }
EXPORT_DEFAULTS { Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Transports = TCP; Protocols = 4; }
";

/// What everybody else finds there.
const SHARED: &str = "EXPORT { Export_Id = 1; Path = /srv/shared; Pseudo = /shared; FSAL { Name = VFS; } }";

/// The exports of careful servers.
const CAREFUL: &str = "
EXPORT { Export_Id = 2; Path = /srv/read-only; Pseudo = /read-only; Access_Type = RO; FSAL { Name = VFS; } }
EXPORT { Export_Id = 3; Path = /srv/squashed; Pseudo = /squashed; Squash = Root_Squash; FSAL { Name = VFS; } }
EXPORT { Export_Id = 4; Path = /srv/closed; Pseudo = /closed; Access_Type = None; FSAL { Name = VFS; }
         CLIENT { Clients = 192.0.2.1; Access_Type = RW; } }
EXPORT { Export_Id = 5; Path = /srv/low-ports; Pseudo = /low-ports; PrivilegedPort = true; FSAL { Name = VFS; } }
";

/// The same in the words of exports(5). They lie in a directory that is the root of all, as version 4 of the protocol has
/// it; on a file system of its own, for the guest's root is one that nobody can export.
const CAREFUL_ROOT: &str = "mkdir -p /exports && mount -t tmpfs -o size=1m tmpfs /exports
     for share in shared read-only squashed closed low-ports; do
         mkdir /exports/$share && mount --bind /srv/$share /exports/$share
     done";
const CAREFUL_EXPORTS: &str = "/exports *(ro,no_root_squash,no_subtree_check,fsid=0,insecure)
/exports/shared *(rw,no_root_squash,no_subtree_check,fsid=1,insecure)
/exports/read-only *(ro,no_root_squash,no_subtree_check,fsid=2,insecure)
/exports/squashed *(rw,root_squash,no_subtree_check,fsid=3,insecure)
/exports/closed 192.0.2.1(rw,no_root_squash,no_subtree_check,fsid=4,insecure)
/exports/low-ports *(rw,no_root_squash,no_subtree_check,fsid=5,secure)
";

/// Their directories.
const CAREFUL_PLACES: &str = "mkdir -p /srv/read-only /srv/squashed/private /srv/closed /srv/low-ports
     chmod 1777 /srv/read-only /srv/squashed /srv/closed /srv/low-ports";

const LISTENS: &str = "ss -ltn | grep -q :2049";

/// nfs-ganesha, with the share `/shared`; its process id is in `/run/ganesha.pid`.
pub fn ganesha(guest: &Guest) -> Result<()> {
    guest.run(DISK)?;
    ganesha_with(guest, SHARED)
}

/// nfs-ganesha, with exports that let nodes do less.
pub fn careful_ganesha(guest: &Guest) -> Result<()> {
    guest.run(&format!("{DISK}\n{CAREFUL_PLACES}"))?;
    ganesha_with(guest, &format!("{SHARED}{CAREFUL}"))
}

/// The kernel's own server, with the share `/`.
pub fn kernel(lab: &Lab, guest: &Guest) -> Result<()> {
    guest.run(DISK)?;
    kernel_with(lab, guest, "/srv/shared *(rw,no_root_squash,no_subtree_check,fsid=0,insecure)\n")
}

/// The kernel's own server, with exports that let nodes do less.
pub fn careful_kernel(lab: &Lab, guest: &Guest) -> Result<()> {
    guest.run(&format!("{DISK}\n{CAREFUL_PLACES}\n{CAREFUL_ROOT}"))?;
    kernel_with(lab, guest, CAREFUL_EXPORTS)
}

fn ganesha_with(guest: &Guest, exports: &str) -> Result<()> {
    guest.run(&format!(
        "mkdir -p /run/ganesha && cat >/run/ganesha.conf <<'END'\n{GANESHA}{exports}\nEND
         ganesha.nfsd -f /run/ganesha.conf -L /run/ganesha.log -p /run/ganesha.pid -N NIV_EVENT"
    ))?;
    guest.until("a server that listens", &format!("{LISTENS} || {{ tail /run/ganesha.log; false; }}"))?;
    Ok(())
}

/// Its programs come from a package that only guests may run.
fn kernel_with(lab: &Lab, guest: &Guest, exports: &str) -> Result<()> {
    let programs = lab.unpacked("nfs-kernel-server")?.join("usr/sbin");
    guest.run(&format!(
        "export PATH={}:$PATH
         modprobe nfsd && mount -t nfsd nfsd /proc/fs/nfsd
         printf '[nfsd]\\nvers3=n\\nvers4=y\\nvers4.0=n\\nvers4.2=y\\n' >/etc/nfs.conf
         printf %s '{exports}' >/etc/exports
         echo 30 >/proc/fs/nfsd/nfsv4leasetime && echo 10 >/proc/fs/nfsd/nfsv4gracetime
         exportfs -r && rpc.nfsd 4 && setsid rpc.mountd </dev/null >/run/mountd.log 2>&1",
        programs.display()
    ))?;
    guest.until("a server that listens", LISTENS)?;
    Ok(())
}
