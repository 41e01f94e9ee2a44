//! The API over HTTP: decoding, discovery, tables, streams, identity.
