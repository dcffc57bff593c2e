//! Serves requests of HTTP one by one: with answers of the test's own, or by a member of etcd.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// A request.
pub(crate) struct Request {
    pub(crate) path: String,
    /// Its first line and its fields, without those of the connection.
    head: String,
    pub(crate) body: String,
}

impl Request {
    /// Returns `None` at the end of the connection.
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
            if !lower.starts_with("connection:") {
                head.push_str(&line);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let path = head.split(' ').nth(1).expect("a path").to_owned();
        Some(Self { path, head, body: String::from_utf8(body).expect("text") })
    }

    /// Sends it to a member, for an answer that ends with the connection.
    fn send(&self, member: SocketAddr) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(member)?;
        write!(stream, "{}Connection: close\r\n\r\n{}", self.head, self.body)?;
        Ok(stream)
    }
}

/// What becomes of a request.
pub(crate) enum Fate {
    /// It is carried to the member, and the answer back.
    Carried,
    /// It is carried to the member, and the connection ends without an answer.
    Unanswered,
    /// It is not carried, and has this answer.
    Answered(Vec<u8>),
}

/// Returns an answer with this status and text.
pub(crate) fn answer(status: &str, text: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}", text.len());
    format!("{head}\r\n\r\n{text}").into_bytes()
}

/// A server of HTTP. Dropped, it refuses connections.
pub(crate) struct Proxy {
    address: SocketAddr,
    endpoint: String,
    is_closed: Arc<AtomicBool>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl Proxy {
    /// Carries requests to a member as `fate` says.
    pub(crate) fn to(
        member: SocketAddr,
        fate: impl Fn(&Request) -> Fate + Send + Sync + 'static,
    ) -> Self {
        Self::serving(move |mut stream| {
            let Some(request) = Request::read(&stream) else { return };
            let fate = fate(&request);
            // The client may have left, and the member may have been killed.
            let _ = match fate {
                Fate::Carried => request
                    .send(member)
                    .and_then(|mut answer| std::io::copy(&mut answer, &mut stream)),
                Fate::Unanswered => request
                    .send(member)
                    .and_then(|mut answer| std::io::copy(&mut answer, &mut std::io::sink())),
                Fate::Answered(answer) => stream.write_all(&answer).map(|()| 0),
            };
            let _ = stream.shutdown(Shutdown::Both);
        })
    }

    /// Gives answers of the test's own.
    pub(crate) fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let nowhere = ([127, 0, 0, 1], 1).into();
        Self::to(nowhere, move |request| Fate::Answered(answer(request)))
    }

    fn serving(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("its address");
        let is_closed = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&is_closed);
        let serve = Arc::new(serve);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(SeqCst) {
                    return;
                }
                let (stream, serve) = (stream.expect("a connection"), Arc::clone(&serve));
                std::thread::spawn(move || serve(stream));
            }
        });
        let endpoint = format!("http://{address}");
        Self { address, endpoint, is_closed, accepting: Some(accepting) }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_closed.store(true, SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the thread
        let _ = self.accepting.take().map(std::thread::JoinHandle::join);
    }
}
