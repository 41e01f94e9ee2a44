//! NFS servers in guests, as they are there already in somebody's cellar: each exports `/srv/shared`, on a disk of its own,
//! to everybody on the segment, by NFSv4.2. Started again after a power cut, they go on with what is on the disk.

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
EXPORT { Export_Id = 1; Path = /srv/shared; Pseudo = /shared; FSAL { Name = VFS; } }
";

const LISTENS: &str = "ss -ltn | grep -q :2049";

/// nfs-ganesha, with the share `/shared`; its process id is in `/run/ganesha.pid`.
pub fn ganesha(guest: &Guest) -> Result<()> {
    guest.run(&format!(
        "{DISK}
         mkdir -p /run/ganesha && cat >/run/ganesha.conf <<'END'\n{GANESHA}END
         ganesha.nfsd -f /run/ganesha.conf -L /run/ganesha.log -p /run/ganesha.pid -N NIV_EVENT"
    ))?;
    guest.until("a server that listens", &format!("{LISTENS} || {{ tail /run/ganesha.log; false; }}"))?;
    Ok(())
}

/// The kernel's own server, with the share `/`. Its programs come from a package that only guests may run.
pub fn kernel(lab: &Lab, guest: &Guest) -> Result<()> {
    let programs = lab.unpacked("nfs-kernel-server")?.join("usr/sbin");
    guest.run(&format!(
        "{DISK}
         export PATH={}:$PATH
         modprobe nfsd && mount -t nfsd nfsd /proc/fs/nfsd
         printf '[nfsd]\\nvers3=n\\nvers4=y\\nvers4.2=y\\n' >/etc/nfs.conf
         echo '/srv/shared *(rw,no_root_squash,no_subtree_check,fsid=0,insecure)' >/etc/exports
         echo 30 >/proc/fs/nfsd/nfsv4leasetime && echo 10 >/proc/fs/nfsd/nfsv4gracetime
         exportfs -r && rpc.nfsd 4 && setsid rpc.mountd </dev/null >/run/mountd.log 2>&1",
        programs.display()
    ))?;
    guest.until("a server that listens", LISTENS)?;
    Ok(())
}
