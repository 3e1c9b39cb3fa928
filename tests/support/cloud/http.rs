//! HTTP/1.1, as far as it takes, and further than it should go.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::Behind;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub media: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// What is done instead of an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    Says(Answer),
    /// Sends a body of ten million bytes.
    Floods,
    HangsUp,
    /// Does what is asked, and hangs up instead of saying so.
    Forgets,
}

impl Answer {
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, media: "application/json", headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    pub fn raw(media: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, media, headers: Vec::new(), body }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, media: "", headers: Vec::new(), body: Vec::new() }
    }

    pub fn html(status: u16) -> Self {
        Self { status, media: "text/html", headers: Vec::new(), body: b"<html><script>alert(1)</script></html>".to_vec() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn ask(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn read(head: &str, body: String) -> Self {
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { method, path: decoded(path), query: form(query), headers: headers.collect(), body }
    }

    /// Method, path and query as a test looks for them.
    pub fn line(&self) -> String {
        let query: Vec<String> = self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{} {}?{}", self.method, self.path, query.join("&"))
    }
}

/// What stands in a form, or behind a question mark.
pub fn form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(*first),
        }
        rest = tail;
    }
    String::from_utf8(out).unwrap()
}

/// Answers until the other side goes.
pub async fn serve(mut stream: TlsStream<TcpStream>, behind: &Behind) {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8(read[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let whole = end + 4 + length.unwrap_or(0);
        while read.len() < whole {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let request = Request::read(&head, String::from_utf8(read[end + 4..whole].to_vec()).unwrap());
        read.drain(..whole);
        let line = request.line();
        behind.log.lock().unwrap().push(line.clone());
        let answer = match behind.fault(&line) {
            None => behind.answer(&request),
            Some(Fault::Says(answer)) => answer,
            Some(Fault::Floods) => Answer::raw("application/json", vec![b' '; 10_000_000]),
            Some(Fault::HangsUp) => return,
            Some(Fault::Forgets) => {
                behind.answer(&request);
                return;
            }
        };
        if stream.write_all(&written(&answer)).await.is_err() {
            return;
        }
        stream.flush().await.ok();
    }
}

fn written(answer: &Answer) -> Vec<u8> {
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&jiff::Timestamp::now()).unwrap();
    let mut fields = vec![("Content-Length", answer.body.len().to_string())];
    if !answer.headers.iter().any(|(name, _)| *name == "Date") {
        fields.push(("Date", date));
    }
    if !answer.media.is_empty() {
        fields.push(("Content-Type", format!("{}; charset=utf-8", answer.media)));
    }
    fields.extend(answer.headers.iter().cloned());
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    [format!("HTTP/1.1 {} Whatever\r\n", answer.status).as_bytes(), fields.concat().as_bytes(), b"\r\n", &answer.body].concat()
}
