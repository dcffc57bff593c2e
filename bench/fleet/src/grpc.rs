//! Puts a key by gRPC, which etcd's own clients speak: what the JSON gateway adds to a request is
//! the difference.
//!
//! The least of HTTP/2 (RFC 9113): one request at a time, whose header fields are literals (RFC
//! 7541, 6.2.2). The header fields of the answers are not read.

use std::io::{Read, Write};
use std::net::TcpStream;

use shmlock_bench_support::Result;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection to one member.
pub(crate) struct Connection {
    stream: TcpStream,
    authority: String,
    /// The number of the last stream; those of a client are odd.
    last: u32,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(endpoint: &str) -> Result<Self> {
        let authority = endpoint.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&authority)?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream, authority, last: 0 };
        connection.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        connection.send(&[frame(SETTINGS, 0, 0, &[])])?;
        Ok(connection)
    }

    /// Puts a key and waits for the answer.
    pub(crate) fn put(&mut self, key: &str, value: &str) -> Result<()> {
        let mut message = Vec::new();
        for (field, text) in [(1, key), (2, value)] {
            // A field of bytes of protobuf: tag, length, bytes.
            message.extend([field << 3 | 2, u8::try_from(text.len())?]);
            message.extend(text.as_bytes());
        }
        self.last = if self.last == 0 { 1 } else { self.last + 2 };
        let mut headers = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/etcdserverpb.KV/Put"),
            (":authority", &*self.authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            headers.push(0); // a literal, not for the table
            for text in [name, value] {
                headers.push(u8::try_from(text.len())?); // without Huffman's code
                headers.extend(text.as_bytes());
            }
        }
        let mut body = vec![0]; // not compressed
        body.extend(u32::try_from(message.len())?.to_be_bytes());
        body.extend(message);
        self.send(&[
            frame(HEADERS, END_HEADERS, self.last, &headers),
            frame(DATA, END_STREAM, self.last, &body),
        ])?;
        self.answer()
    }

    /// Reads frames until the request has been answered.
    fn answer(&mut self) -> Result<()> {
        let mut has_message = false;
        loop {
            let Frame { kind, flags, stream, payload } = self.receive()?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(&[frame(SETTINGS, ACK, 0, &[])])?,
                PING if flags & ACK == 0 => self.send(&[frame(PING, ACK, 0, &payload)])?,
                DATA if stream == self.last => {
                    has_message = true;
                    // The server may send as much again.
                    let length = u32::try_from(payload.len())?.to_be_bytes();
                    self.send(&[frame(WINDOW_UPDATE, 0, 0, &length)])?;
                }
                HEADERS if stream == self.last && flags & END_STREAM != 0 => {
                    // An error has a status and no message.
                    return if has_message { Ok(()) } else { Err("gRPC: an error".into()) };
                }
                RST_STREAM | GOAWAY => return Err("gRPC: the server ends the connection".into()),
                _ => {}
            }
        }
    }

    fn send(&mut self, frames: &[Vec<u8>]) -> Result<()> {
        Ok(self.stream.write_all(&frames.concat())?)
    }

    fn receive(&mut self) -> Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, s @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(s), payload })
    }
}

/// Returns the bytes of a frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}
