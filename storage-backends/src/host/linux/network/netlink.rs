//! Routing netlink (rtnetlink(7)) as far as pods need it: messages with nested attributes, acknowledged changes, dumps.
//!
//! A crate for it would bring an async stack and the description of every attribute there is; this is one socket and three
//! message kinds. All numbers are in the machine's byte order but addresses, which are bytes already.

use std::{
    cell::Cell,
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

use nix::{
    libc,
    sched::CloneFlags,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket},
};

/// Length of the header before every message, and of one before an attribute.
const HEADER: usize = 16;
const ATTRIBUTE: usize = 4;
/// Mask of an attribute's kind: the highest two bits say that it is nested, or in network byte order.
const KIND: u16 = 0x3fff;
/// `NLM_F_DUMP_INTR` (linux/netlink.h).
const INTERRUPTED: u16 = 0x10;
/// A dump's pieces are at most this long (the kernel's own limit).
const PIECE: usize = 32 * 1024;
/// How often a dump that was interrupted by changes is tried.
const TRIES: usize = 10;

/// A request being written.
#[derive(Debug)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A message of this kind, with the fixed part that its kind demands.
    pub(super) fn new(kind: u16, flags: i32, fixed: &[u8]) -> Self {
        let flags = u16::try_from(flags).unwrap_or_default();
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(fixed);
        Self(bytes)
    }

    /// Adds an attribute.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    /// Adds an attribute that is a text.
    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.with(kind, &bytes)
    }

    /// Adds an attribute that holds others, behind a fixed part.
    pub(super) fn nest(mut self, kind: u16, fixed: &[u8], fill: impl FnOnce(Self) -> Self) -> Self {
        let inner = fill(Self(fixed.to_vec()));
        self.push(kind, &inner.0);
        self
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(padded(self.0.len()), 0);
    }
}

/// The next multiple of four.
fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// An answer: its kind and all behind the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: u16,
    pub(super) body: Vec<u8>,
}

/// The attributes in `bytes`; what is cut off or nonsense ends them.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & KIND;
        let value = bytes.get(ATTRIBUTE..length)?;
        bytes = bytes.get(padded(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A conversation with the kernel about one network namespace.
#[derive(Debug)]
pub(super) struct Socket {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

impl Socket {
    /// About this process's own namespace.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(Self { socket, sequence: Cell::new(0) })
    }

    /// About a pinned namespace: a socket belongs to that of the thread that opened it, and this thread ends.
    pub(super) fn open_in(namespace: &Path) -> io::Result<Self> {
        let file = File::open(namespace)?;
        let open = move || {
            nix::sched::setns(&file, CloneFlags::CLONE_NEWNET)?;
            Self::open()
        };
        std::thread::spawn(open).join().unwrap_or_else(|_| Err(io::Error::other("thread panicked")))
    }

    /// Sends a change and waits for the kernel's word that it is made.
    pub(super) fn change(&self, message: Message) -> io::Result<()> {
        self.ask(message, libc::NLM_F_ACK).map(drop)
    }

    /// Sends a question about everything of a kind.
    ///
    /// What changes meanwhile can hide entries; the kernel says so, and is asked again.
    pub(super) fn dump(&self, question: impl Fn() -> Message) -> io::Result<Vec<Answer>> {
        for _ in 0..TRIES {
            match self.ask(question(), libc::NLM_F_DUMP) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                answer => return answer,
            }
        }
        Err(io::Error::other("it changes faster than it can be read"))
    }

    /// Sends a question about one thing.
    pub(super) fn get(&self, message: Message) -> io::Result<Vec<Answer>> {
        self.ask(message, libc::NLM_F_ACK)
    }

    fn ask(&self, message: Message, flags: i32) -> io::Result<Vec<Answer>> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let mut bytes = message.0;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        let own = u16_at(&bytes, 6).unwrap_or_default();
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).map_err(io::Error::other)? | own;
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut answers = Vec::new();
        let mut piece = vec![0; PIECE];
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut piece, MsgFlags::empty())?;
            if read(&piece[..length], sequence, &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Takes a piece apart; answers whether it was the last one.
fn read(mut piece: &[u8], sequence: u32, answers: &mut Vec<Answer>) -> io::Result<bool> {
    let torn = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is cut off");
    while !piece.is_empty() {
        let length = u32_at(piece, 0).and_then(|n| usize::try_from(n).ok()).ok_or_else(torn)?;
        let (kind, of) = (u16_at(piece, 4).ok_or_else(torn)?, u32_at(piece, 8).ok_or_else(torn)?);
        let flags = u16_at(piece, 6).ok_or_else(torn)?;
        let body = piece.get(HEADER..length).ok_or_else(torn)?;
        piece = piece.get(padded(length)..).unwrap_or_default();
        // The end of an answer that was given up before.
        if of != sequence {
            continue;
        }
        if flags & INTERRUPTED != 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(true),
            libc::NLMSG_ERROR => {
                let code = u32_at(body, 0).ok_or_else(torn)?.cast_signed();
                return if code == 0 { Ok(true) } else { Err(io::Error::from_raw_os_error(-code)) };
            }
            _ => answers.push(Answer { kind, body: body.to_vec() }),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested_and_read_again() {
        let message = Message::new(7, 0, &[9; 4])
            .text(1, "ab")
            .nest(2, &[5; 4], |inner| inner.with(3, &1_u32.to_ne_bytes()))
            .with(4, &[]);
        let body = &message.0[HEADER..];
        assert_eq!(body.len() % 4, 0);
        let all: Vec<_> = attributes(&body[4..]).collect();
        assert_eq!(all[0], (1, b"ab\0".as_slice()));
        assert_eq!(attributes(&all[1].1[4..]).collect::<Vec<_>>(), [(3, 1_u32.to_ne_bytes().as_slice())]);
        assert_eq!(all[2], (4, [].as_slice()));
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn cut_off_attributes_end_the_list() {
        for bytes in [&[][..], &[1], &[0, 0, 0, 0], &[200, 0, 1, 0, 5], &[3, 0, 1, 0]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
    }

    fn piece(kind: i32, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(u16::try_from(kind).unwrap().to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes.resize(padded(bytes.len()), 0);
        bytes
    }

    #[test]
    fn answers_end_with_an_acknowledgement_an_error_or_the_last_piece() {
        let mut answers = Vec::new();
        let two = [piece(16, 1, &[1; 5]), piece(16, 9, &[2; 4]), piece(16, 1, &[3; 4])].concat();
        assert!(!read(&two, 1, &mut answers).unwrap(), "more is to come");
        let bodies: Vec<_> = answers.iter().map(|a| a.body.clone()).collect();
        assert_eq!(bodies, [vec![1; 5], vec![3; 4]], "only this conversation's");
        assert!(read(&piece(libc::NLMSG_DONE, 1, &[0; 4]), 1, &mut answers).unwrap());
        assert!(read(&piece(libc::NLMSG_ERROR, 1, &[0; 20]), 1, &mut answers).unwrap());
        let refused = piece(libc::NLMSG_ERROR, 1, &(-libc::EPERM).to_ne_bytes());
        assert_eq!(read(&refused, 1, &mut answers).unwrap_err().raw_os_error(), Some(libc::EPERM));
        read(&two[..two.len() - 4], 1, &mut answers).unwrap_err();
    }
}
