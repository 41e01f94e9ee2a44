//! The shortest proof that guests are good for something: two of them, one with an NFS server, one with a kernel's client.
//! A file written in one is read in the other, and a lock held in one excludes the other.

use anyhow::Result;
use orlop_e2e::guest::{Guest, Lab, Shape, servers};

#[test]
fn two_guests_share_a_file_and_its_locks() -> Result<()> {
    let Some(lab) = Lab::open("two_guests_share_a_file_and_its_locks") else { return Ok(()) };
    let (server, client) = (lab.start(Shape::new("server", 11))?, lab.start(Shape::new("client", 12))?);
    servers::ganesha(&server)?;
    client.run("mkdir -p /mnt/shared")?;
    let mount = format!("mount -t nfs4 -o vers=4.2,proto=tcp,hard {}:/shared /mnt/shared", server.address());
    client.until("the mount", &mount)?;
    assert!(client.run("findmnt -n -o FSTYPE,OPTIONS /mnt/shared")?.contains("vers=4.2"));

    client.run("echo 'from the client' >/mnt/shared/file && sync /mnt/shared/file")?;
    assert_eq!(server.run("cat /srv/shared/file")?, "from the client");

    locks_exclude(&server, &client)
}

/// The bytes 0 to 9 are locked through the mount in one guest; the other asks for them and for their neighbours.
fn locks_exclude(server: &Guest, client: &Guest) -> Result<()> {
    let program = env!("CARGO_BIN_EXE_range_lock");
    // The server looks through a mount of its own: ganesha's locks are not the local file system's.
    let mount =
        "mkdir -p /mnt/shared && mount -t nfs4 -o vers=4.2,proto=tcp,hard 127.0.0.1:/shared /mnt/shared";
    server.run(mount)?;
    client.run(&format!(
        "setsid {program} /mnt/shared/lock 0 10 hold >/run/locked 2>&1 & echo $! >/run/holder"
    ))?;
    client.until("a lock", "grep -q locked /run/locked")?;
    let asked = |bytes: &str| anyhow::Ok(server.answer(&format!("{program} /mnt/shared/lock {bytes}"))?.code);
    assert_eq!(asked("0 10")?, 1, "the same bytes");
    assert_eq!(asked("9 1")?, 1, "the last of them");
    assert_eq!(asked("10 10")?, 0, "bytes beside them");
    client.run("kill $(cat /run/holder)")?;
    server.until("the lock of one that ended", &format!("{program} /mnt/shared/lock 0 10"))?;
    Ok(())
}
