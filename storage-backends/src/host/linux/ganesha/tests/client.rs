//! As much of an NFS 4.2 client as is needed to ask whether a path can be mounted: what a program can do that is no kernel.
//! The words are those of RFC 5531 (calls) and RFC 8881 (operations).

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    os::fd::AsRawFd,
    time::Duration,
};

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};

/// Operations, by their numbers.
const LOOKUP: u32 = 15;
const PUTROOTFH: u32 = 24;
const EXCHANGE_ID: u32 = 42;
const CREATE_SESSION: u32 = 43;
const SEQUENCE: u32 = 53;

/// Arguments or results, in words of four bytes.
#[derive(Default)]
struct Words(Vec<u8>);

impl Words {
    fn put(mut self, words: &[u32]) -> Self {
        self.0.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        self
    }

    /// Bytes of any length, filled up with zeros.
    fn text(self, bytes: &[u8]) -> Self {
        let mut words = self.put(&[u32::try_from(bytes.len()).unwrap()]);
        words.0.extend(bytes);
        words.0.resize(words.0.len().next_multiple_of(4), 0);
        words
    }

    fn then(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

pub(super) struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects from a reserved port, as the administrator of a machine can, or from any other.
    pub(super) fn connect(server: u16, reserved: bool) -> io::Result<Self> {
        let end = |port| SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        let mut own = if reserved { 600..=1023 } else { 0..=0 };
        let connected = own.find_map(|port| {
            let (family, kind) = (AddressFamily::Inet, SockType::Stream);
            let socket = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None).ok()?;
            socket::bind(socket.as_raw_fd(), &end(port)).ok()?;
            socket::connect(socket.as_raw_fd(), &end(server)).ok().map(|()| TcpStream::from(socket))
        });
        let stream =
            connected.ok_or_else(|| io::Error::other("no port from which it can be connected to"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream })
    }

    /// One call, as root of the machine; answers its status and what follows.
    fn compound(&mut self, operations: u32, arguments: &Words) -> io::Result<(u32, Vec<u8>)> {
        let credential = Words::default().put(&[0]).text(b"machine").put(&[0, 0, 0]);
        let call = Words::default()
            .put(&[7, 0, 2, 100_003, 4, 1, 1])
            .text(&credential.0)
            .put(&[0, 0])
            .text(b"")
            .put(&[2, operations])
            .then(&arguments.0);
        let length = u32::try_from(call.0.len()).unwrap();
        self.stream.write_all(&Words::default().put(&[length | 1 << 31]).then(&call.0).0)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length) & !(1 << 31)).unwrap()];
        self.stream.read_exact(&mut answer)?;
        // Accepted, then the status, the tag, and how many results there are.
        let words: Vec<u32> =
            answer.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        assert_eq!((words[1], words[2], words[5]), (1, 0, 0), "the call itself is understood");
        Ok((words[6], answer.split_off(36)))
    }

    /// The status of a walk from the root of the server to a name; 0 is success.
    pub(super) fn look_up(&mut self, name: &str) -> io::Result<u32> {
        let owner = format!("test {}", std::process::id());
        let arguments = Words::default().put(&[EXCHANGE_ID, 1, 1]).text(owner.as_bytes()).put(&[0, 0, 0]);
        let (status, result) = self.compound(1, &arguments)?;
        assert_eq!(status, 0, "a client introduces itself");
        // After its own number and status: the client's number, and the sequence's.
        let known = &result[8..20];
        let channel = [0, 65_536, 65_536, 4096, 16, 8, 0];
        let arguments = Words::default().put(&[CREATE_SESSION]).then(known);
        let arguments = arguments.put(&[0]).put(&channel).put(&channel).put(&[0, 1, 0]);
        let (status, result) = self.compound(1, &arguments)?;
        assert_eq!(status, 0, "a session is made");
        let arguments = Words::default().put(&[SEQUENCE]).then(&result[8..24]).put(&[1, 0, 0, 0]);
        let arguments = arguments.put(&[PUTROOTFH, LOOKUP]).text(name.as_bytes());
        Ok(self.compound(3, &arguments)?.0)
    }
}
