//! The real server. Needs root, loop devices and nfs-ganesha.

use std::{
    io::{Read, Write},
    sync::atomic::{AtomicU16, Ordering},
};

use uuid::Uuid;

use super::*;
use crate::host::{
    FsType, Host, MountRequest,
    linux::{
        Linux,
        scratch::{Scratch, can_run, skipped},
    },
};

mod client;

const INSTANCE: &str = "0badcafe";
static RANGES: AtomicU16 = AtomicU16::new(0);

fn ready(test: &str) -> bool {
    if can_run(test) && process::program().is_err() {
        skipped(test, "no nfs-ganesha with its VFS module (make setup)");
        return false;
    }
    can_run(test)
}

/// A server that ends with the test, and the place for what it exports.
struct Stand {
    scratch: Scratch,
    server: Ganesha,
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.server.stop();
    }
}

impl Stand {
    fn new() -> Self {
        let scratch = Scratch::new();
        let instance = format!("{INSTANCE}-{}", std::process::id());
        let server = Ganesha::new(scratch.path().join("my nfs"), &instance);
        Self { scratch, server }
    }

    fn table(&self) -> ExportTable {
        // A port that is free is not yet taken: each test looks in a range of its own.
        let own = RANGES.fetch_add(50, Ordering::Relaxed);
        let first = 24_100 + own + u16::try_from(std::process::id() % 5000).unwrap();
        let port = self.server.free_port(first).unwrap();
        ExportTable::new(port, self.scratch.path().join("volumes"))
    }

    /// A file system of its own, mounted at the export's directory, with the export shown.
    fn mounted(&self, table: &mut ExportTable, volume: Uuid) -> PathBuf {
        table.add(volume, None);
        let export = table.of_mut(volume).unwrap();
        export.shown = true;
        export.clients.insert("127.0.0.1".parse().unwrap());
        let (export, image) = (export.clone(), self.scratch.path().join(volume.to_string()));
        let target = table.directory(&export);
        Linux.create_sparse(&image, 16 << 20).unwrap();
        Linux.make_filesystem(&image, FsType::Ext4, &volume.to_string()).unwrap();
        Linux.create_dir(&target).unwrap();
        let source = Linux.attach_loop(&image, false).unwrap().device;
        let (fs_type, options) = (FsType::Ext4, Vec::new());
        Linux
            .mount(&MountRequest::Device {
                source,
                target: target.clone(),
                fs_type,
                read_only: false,
                options,
            })
            .unwrap();
        target
    }
}

/// Calls the server's procedure that does nothing (RFC 5531, RFC 7530): program 100003, version 4, procedure 0.
fn answers(port: u16) -> bool {
    let call = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let words: [u32; 11] = [0x8000_0028, 7, 0, 2, 100_003, 4, 0, 0, 0, 0, 0];
        stream.write_all(&words.map(u32::to_be_bytes).concat())?;
        let mut answer = [0; 28];
        stream.read_exact(&mut answer)?;
        Ok::<_, io::Error>(answer[7] == 7 && answer[24..] == [0; 4])
    };
    call().unwrap_or(false)
}

#[test]
fn root_nfs_server_takes_exports_and_lets_them_go_without_a_restart() {
    let test = "root_nfs_server_takes_exports_and_lets_them_go_without_a_restart";
    if !ready(test) {
        return;
    }
    let stand = Stand::new();
    let server = &stand.server;
    assert_eq!((server.table().unwrap(), server.server().unwrap()), (None, None));
    let mut table = stand.table();
    let first = stand.mounted(&mut table, Uuid::from_u128(1));
    server.write_table(&table).unwrap();
    server.start().unwrap();
    let running = server.server().unwrap().unwrap();
    assert_eq!(running.taken.as_ref(), Some(&table));
    assert!(answers(table.port));
    assert!(server.start().is_err(), "one is enough");
    assert!(Linux.unmount(&first).is_err(), "it holds what it exports");
    let second = stand.mounted(&mut table, Uuid::from_u128(2));
    server.write_table(&table).unwrap();
    server.reload().unwrap();
    assert!(Linux.unmount(&second).is_err(), "it has taken the second");
    table.exports[0].shown = false;
    server.write_table(&table).unwrap();
    server.reload().unwrap();
    Linux.unmount(&first).expect("it has let the first go");
    assert_eq!(
        server.server().unwrap(),
        Some(RunningServer { taken: Some(table.clone()), ..running.clone() })
    );
    table.exports[0].shown = true;
    table.root = stand.scratch.path().join("nowhere");
    server.write_table(&table).unwrap();
    let error = server.reload().unwrap_err();
    assert!(error.source.to_string().contains("nowhere"), "what it cannot export is told: {error:?}");
    server.stop().unwrap();
    assert_eq!(server.server().unwrap(), None);
    assert!(!answers(table.port) && server.wait_for_end(Duration::ZERO).unwrap());
}

/// From the address of a client: its kernel is let in, and a program without rights is not.
#[test]
fn root_nfs_server_hears_reserved_ports_alone() {
    let test = "root_nfs_server_hears_reserved_ports_alone";
    if !ready(test) {
        return;
    }
    let stand = Stand::new();
    let mut table = stand.table();
    let volume = Uuid::from_u128(4);
    stand.mounted(&mut table, volume);
    stand.server.write_table(&table).unwrap();
    stand.server.start().unwrap();
    let name = table.of(volume).unwrap().name();
    let port = table.port;
    let ask = |reserved| client::Client::connect(port, reserved).unwrap().look_up(&name).unwrap();
    assert_eq!(ask(true), 0);
    assert_ne!(ask(false), 0);
    // Whoever is no client is refused from any port.
    table.of_mut(volume).unwrap().clients = ["192.0.2.1".parse().unwrap()].into();
    stand.server.write_table(&table).unwrap();
    stand.server.reload().unwrap();
    assert_ne!(ask(true), 0);
}

/// A table as it was written when any port was heard, and the server that has it.
#[test]
fn root_nfs_server_of_another_version_takes_what_this_one_says() {
    let test = "root_nfs_server_of_another_version_takes_what_this_one_says";
    if !ready(test) {
        return;
    }
    let stand = Stand::new();
    let mut table = stand.table();
    let volume = Uuid::from_u128(5);
    stand.mounted(&mut table, volume);
    stand.server.write_table(&table).unwrap();
    let written = fs::read_to_string(stand.server.config()).unwrap();
    let older = written.replace("PrivilegedPort = true", "PrivilegedPort = false");
    fs::write(stand.server.config(), &older).unwrap();
    stand.server.start().unwrap();
    let (port, name) = (table.port, table.of(volume).unwrap().name());
    let ask = |reserved| client::Client::connect(port, reserved).unwrap().look_up(&name).unwrap();
    assert_eq!((ask(true), ask(false)), (0, 0));
    let next = Ganesha::new(stand.server.dir.clone(), &stand.server.instance);
    assert_eq!(next.table().unwrap(), Some(table.clone()), "it is the same table");
    next.write_table(&table).unwrap();
    next.reload().unwrap();
    assert_eq!(ask(true), 0);
    assert_ne!(ask(false), 0);
}

#[test]
fn a_table_is_written_when_the_file_has_every_word_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Ganesha::new(dir.path().join("nfs"), INSTANCE);
    let table = ExportTable::new(20_000, dir.path().join("volumes"));
    assert!(!server.is_written(&table).unwrap(), "there is none");
    server.write_table(&table).unwrap();
    assert!(server.is_written(&table).unwrap());
    assert!(!server.is_written(&ExportTable { next: 7, ..table.clone() }).unwrap());
    let written = fs::read_to_string(server.config()).unwrap();
    fs::write(server.config(), written.replace("PrivilegedPort = true", "PrivilegedPort = false")).unwrap();
    assert_eq!(server.table().unwrap(), Some(table.clone()));
    assert!(!server.is_written(&table).unwrap());
    server.write_table(&table).unwrap();
    assert_eq!(fs::read_to_string(server.config()).unwrap(), written);
    fs::write(server.config(), "# somebody's own\n").unwrap();
    assert!(server.is_written(&table).is_err(), "what another wrote is not written over");
}

#[test]
fn root_nfs_server_outlives_its_starter_and_is_found_again() {
    let test = "root_nfs_server_outlives_its_starter_and_is_found_again";
    if !ready(test) {
        return;
    }
    let stand = Stand::new();
    let mut table = stand.table();
    stand.mounted(&mut table, Uuid::from_u128(3));
    stand.server.write_table(&table).unwrap();
    stand.server.start().unwrap();
    let process = stand.server.server().unwrap().unwrap().process;
    let next = Ganesha::new(stand.server.dir.clone(), &stand.server.instance);
    assert_eq!(next.table().unwrap(), Some(table.clone()));
    assert_eq!(
        next.server().unwrap(),
        Some(RunningServer { process, taken: None }),
        "found, and not yet told"
    );
    next.reload().unwrap();
    assert_eq!(next.server().unwrap().unwrap().taken, Some(table.clone()));
    assert!(!next.wait_for_end(Duration::from_millis(1)).unwrap());
    next.signal(process, libc::SIGKILL).unwrap();
    assert!(next.wait_for_end(Duration::from_secs(10)).unwrap());
    assert_eq!(stand.server.server().unwrap(), None, "its starter sees the end as well");
    next.start().unwrap();
    assert!(answers(table.port));
    next.stop().unwrap();
    let taken = TcpListener::bind(("0.0.0.0", table.port)).unwrap();
    let error = next.start().unwrap_err();
    assert!(error.source.to_string().contains("in use by another program"), "{error:?}");
    drop(taken);
}
