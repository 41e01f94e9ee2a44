//! The log that a commit waits for: one file of fixed size, written in place, so that a commit costs one write and one
//! `fdatasync` without a change of the file's metadata.
//!
//! A record starts at a multiple of 4 KiB, so that no sector with acknowledged bytes is ever written again within an
//! epoch: length of the payload (4 bytes), CRC-32 of all that follows it (4), epoch (8), payload, zeros. All integers
//! are big endian. The records of an epoch lie one behind the other from the start of the file; the first that is torn,
//! or of another epoch, ends them. Whoever has taken the records over elsewhere restarts the log with the next epoch.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use super::Op;
use crate::{Error, Sync, directory::failed};

/// The file's size. It bounds how much is replayed at the start, and how much memory waits to be taken over.
pub(crate) const SIZE: usize = 8 << 20;
const ALIGN: usize = 4 << 10;
const HEADER: usize = 16;

/// The log, open for appending.
#[derive(Debug)]
pub(crate) struct Wal {
    file: File,
    offset: usize,
    epoch: u64,
    sync: Sync,
}

impl Wal {
    /// Makes an empty one, its blocks allocated and written, on disk.
    pub(crate) fn create(path: &Path) -> Result<(), Error> {
        let made = File::create(path).and_then(|mut file| {
            io::copy(&mut io::repeat(0).take(SIZE as u64), &mut file)?;
            file.sync_all()
        });
        made.map_err(failed("create", path))
    }

    /// Opens it, and reads what `epoch` has written: one list of writes for each record.
    pub(crate) fn open(path: &Path, epoch: u64, sync: Sync) -> Result<(Self, Vec<Vec<Op>>), Error> {
        let file = File::options().read(true).write(true).open(path).map_err(failed("open", path))?;
        let size = file.metadata().map_err(failed("read", path))?.len();
        if size != SIZE as u64 {
            let words =
                format!("{} has {size} bytes instead of {SIZE}: restore it from a copy", path.display());
            return Err(Error::engine("open", words));
        }
        let (mut records, mut offset) = (Vec::new(), 0);
        while let Some((ops, length)) = read_record(&file, offset, epoch).map_err(failed("read", path))? {
            records.push(ops);
            offset += length;
        }
        // The last record may be one whose barrier never came to its end, because the process was killed: what is shown
        // from now on must outlive a power cut.
        if !records.is_empty() && sync == Sync::Data {
            file.sync_data().map_err(failed("sync", path))?;
        }
        Ok((Self { file, offset, epoch, sync }, records))
    }

    /// The epoch that is being written.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether `bytes` more fit, even in two records with what lies between.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.offset + bytes + 3 * ALIGN <= SIZE
    }

    /// Appends one record, and returns once it outlives a power cut. `false` when there is no room for it.
    pub(crate) fn append(&mut self, ops: &[Op]) -> Result<bool, Error> {
        let record = encode(ops, self.epoch);
        if self.offset + record.len() > SIZE {
            return Ok(false);
        }
        self.file.write_all_at(&record, self.offset as u64).map_err(|e| Error::engine("write", e))?;
        if self.sync == Sync::Data {
            self.file.sync_data().map_err(|e| Error::engine("sync", e))?;
        }
        self.offset += record.len();
        Ok(true)
    }

    /// Begins the next epoch at the start of the file: all records so far are on disk elsewhere.
    pub(crate) fn restart(&mut self, epoch: u64) {
        (self.epoch, self.offset) = (epoch, 0);
    }
}

fn encode(ops: &[Op], epoch: u64) -> Vec<u8> {
    let mut record = vec![0; HEADER];
    for Op { key, value } in ops {
        put_bytes(&mut record, key.as_bytes());
        record.push(u8::from(value.is_some()));
        put_bytes(&mut record, value.as_deref().unwrap_or_default());
    }
    let length = record.len() - HEADER;
    record[..4].copy_from_slice(&(length as u32).to_be_bytes());
    record[8..16].copy_from_slice(&epoch.to_be_bytes());
    let crc = crc32fast::hash(&record[8..]);
    record[4..8].copy_from_slice(&crc.to_be_bytes());
    record.resize(record.len().next_multiple_of(ALIGN), 0);
    record
}

/// The writes of the record at `offset`, and its length with padding; `None` when there is none.
fn read_record(file: &File, offset: usize, epoch: u64) -> io::Result<Option<(Vec<Op>, usize)>> {
    if offset + HEADER > SIZE {
        return Ok(None);
    }
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, offset as u64)?;
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = number(0) as usize;
    if length == 0 || header[8..] != epoch.to_be_bytes() || length > SIZE - offset - HEADER {
        return Ok(None);
    }
    let mut checked = header[8..].to_vec();
    checked.resize(HEADER - 8 + length, 0);
    file.read_exact_at(&mut checked[HEADER - 8..], (offset + HEADER) as u64)?;
    if crc32fast::hash(&checked) != number(4) {
        return Ok(None);
    }
    let ops = decode(&checked[HEADER - 8..]);
    Ok(ops.map(|ops| (ops, (HEADER + length).next_multiple_of(ALIGN))))
}

fn decode(mut payload: &[u8]) -> Option<Vec<Op>> {
    let mut ops = Vec::new();
    while !payload.is_empty() {
        let key = String::from_utf8(take_bytes(&mut payload)?.to_vec()).ok()?;
        let (&kept, rest) = payload.split_first()?;
        payload = rest;
        let value = take_bytes(&mut payload)?;
        ops.push(Op { key, value: (kept == 1).then(|| value.to_vec()) });
    }
    Some(ops)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = from.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{ALIGN, SIZE, Wal};
    use crate::{Sync, engine::Op, error::chain};

    fn ops(n: usize, size: usize) -> Vec<Op> {
        vec![
            Op { key: format!("o/{n}"), value: Some(vec![n as u8; size]) },
            Op { key: "o/gone".into(), value: None },
        ]
    }

    #[test]
    fn records_of_the_epoch_are_there_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("wal");
        Wal::create(&path).expect("creates");
        let (mut wal, records) = Wal::open(&path, 0, Sync::Data).expect("opens");
        assert_eq!(records, Vec::<Vec<Op>>::new());
        let sizes = [0, 10, ALIGN - 60, ALIGN, 100_000, 1 << 20];
        for (n, size) in sizes.into_iter().enumerate() {
            assert!(wal.append(&ops(n, size)).expect("writes"));
        }
        let expected: Vec<_> = sizes.into_iter().enumerate().map(|(n, size)| ops(n, size)).collect();
        assert_eq!(Wal::open(&path, 0, Sync::Data).expect("opens").1, expected);
        assert_eq!(Wal::open(&path, 1, Sync::Data).expect("opens").1, Vec::<Vec<Op>>::new());

        // The next epoch overwrites the first record; what follows is of the epoch before.
        wal.restart(1);
        assert!(wal.append(&ops(9, 10)).expect("writes"));
        assert_eq!(Wal::open(&path, 1, Sync::Data).expect("opens").1, [ops(9, 10)]);
    }

    #[test]
    fn a_torn_record_ends_the_log_wherever_it_is_torn() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("wal");
        Wal::create(&path).expect("creates");
        let (mut wal, _) = Wal::open(&path, 7, Sync::Data).expect("opens");
        wal.append(&ops(1, 3000)).expect("writes");
        wal.append(&ops(2, 6000)).expect("writes");
        let whole = std::fs::read(&path).expect("reads");
        for torn in (0..6000).step_by(97) {
            let mut bytes = whole.clone();
            bytes[ALIGN + torn..2 * ALIGN + 4000].fill(0);
            std::fs::write(&path, bytes).expect("writes");
            assert_eq!(Wal::open(&path, 7, Sync::Data).expect("opens").1, [ops(1, 3000)], "torn at {torn}");
        }
    }

    #[test]
    fn a_full_log_says_so_and_is_not_changed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("wal");
        Wal::create(&path).expect("creates");
        let (mut wal, _) = Wal::open(&path, 0, Sync::Data).expect("opens");
        assert!(wal.append(&ops(1, SIZE - 2 * ALIGN)).expect("writes"));
        assert!(wal.append(&ops(2, 10)).is_ok_and(|room| room));
        assert!(wal.append(&ops(3, 10)).is_ok_and(|room| !room));
        assert_eq!(Wal::open(&path, 0, Sync::Data).expect("opens").1.len(), 2);
        std::fs::write(&path, "short").expect("writes");
        let words = chain(&Wal::open(&path, 0, Sync::Data).expect_err("refused"));
        assert!(words.contains("has 5 bytes"), "{words}");
    }
}
