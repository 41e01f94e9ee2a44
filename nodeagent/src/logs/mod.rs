//! Logs of containers, served to the server over `DIR/agent.sock` or TLS.
//!
//! `GET /containerLogs/<namespace>/<pod>/<container>?follow&previous&tailLines&sinceTime&sinceSeconds&timestamps&limitBytes`
//! answers the text that the container wrote; the files are in CRI's line format ([`cri`]). Owns that
//! socket.

mod cri;
mod find;
mod follow;
mod options;
mod reader;
mod send;
mod serve;

pub(crate) use serve::serve;
