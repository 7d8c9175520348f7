//! A server that answers badly: for everything that a healthy API server never does.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// A CA and a certificate for 127.0.0.1 that was valid in 2020 only, with its key, made for these tests.
const EXPIRED: &str = include_str!("../data/expired-certificate.pem");

/// What a client sent.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `GET /path?query HTTP/1.1`
    pub line: String,
    /// All headers, names in lower case.
    pub headers: String,
    pub body: String,
}

/// What the server does with a request.
pub(crate) enum Answer {
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Sends these bytes and then nothing more, until the client goes.
    ThenSilence(Vec<u8>),
    /// Sends these pieces with this pause before each.
    Slowly(Duration, Vec<Vec<u8>>),
    /// As an HTTP proxy: `200`, then bytes to and fro to this address.
    Tunnel(String),
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &[&str], body: &str) -> Answer {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    Answer::Bytes(format!("{text}Connection: close\r\n\r\n{body}").into_bytes())
}

/// A whole answer of JSON.
pub(crate) fn json(status: &str, value: &serde_json::Value) -> Answer {
    answer(status, &["Content-Type: application/json"], &value.to_string())
}

/// A listening server; one thread a connection, one request a connection.
pub(crate) struct FaultServer {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    ended: Arc<AtomicBool>,
}

type Behaviour = dyn Fn(&Seen, usize) -> Answer + Send + Sync;

impl FaultServer {
    /// Starts one on plain TCP. `behave` is told the request and how many came before it.
    pub(crate) fn start(behave: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(None, Box::new(behave))
    }

    /// Starts one that speaks TLS with an expired certificate.
    pub(crate) fn start_expired() -> Self {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(EXPIRED.as_bytes())
            .map(|certificate| certificate.expect("a certificate"))
            .skip(1)
            .collect();
        let key = PrivateKeyDer::from_pem_slice(EXPIRED.as_bytes()).expect("a key");
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .expect("a configuration");
        Self::listen(
            Some(Arc::new(config)),
            Box::new(|_, _| answer("200 OK", &[], "{}")),
        )
    }

    /// The CA of the expired certificate.
    pub(crate) fn ca() -> &'static str {
        EXPIRED
            .split_inclusive("-----END CERTIFICATE-----")
            .next()
            .expect("the CA")
    }

    fn listen(tls: Option<Arc<rustls::ServerConfig>>, behave: Box<Behaviour>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let behave: Arc<Behaviour> = behave.into();
        let (kept, end) = (Arc::clone(&seen), Arc::clone(&ended));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (behave, seen, tls) = (Arc::clone(&behave), Arc::clone(&kept), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, &seen, &*behave),
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(tls).expect("a TLS connection");
                        let mut stream = rustls::StreamOwned::new(connection, stream);
                        let _ = read_request(&mut stream);
                    }
                });
            }
        });
        Self { address, seen, ended }
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>, behave: &Behaviour) {
    let Some(request) = read_request(&mut stream) else {
        return;
    };
    let before = {
        let mut seen = seen.lock().expect("no panic");
        seen.push(request.clone());
        seen.len() - 1
    };
    match behave(&request, before) {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Write);
        }
        Answer::ThenSilence(bytes) => {
            let _ = stream.write_all(&bytes);
            // Until the client goes.
            let _ = stream.read(&mut [0; 1]);
        }
        Answer::Slowly(pause, pieces) => {
            for piece in pieces {
                std::thread::sleep(pause);
                let _ = stream.write_all(&piece);
                let _ = stream.flush();
            }
        }
        Answer::Tunnel(address) => tunnel(stream, &address),
    }
}

fn tunnel(mut client: TcpStream, address: &str) {
    let Ok(mut server) = TcpStream::connect(address) else {
        return;
    };
    let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
    let (mut from, mut to) = (
        client.try_clone().expect("a handle"),
        server.try_clone().expect("a handle"),
    );
    let there = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = there.join();
}

fn read_request(stream: &mut impl Read) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let (line, headers) = text.split_once("\r\n").unwrap_or((&text, ""));
    let length = headers.lines().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = bytes[head + 4..].to_vec();
    while body.len() < length.unwrap_or(0) {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(count) => body.extend_from_slice(&part[..count]),
        }
    }
    Some(Seen {
        line: line.to_owned(),
        headers: headers.to_lowercase(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
