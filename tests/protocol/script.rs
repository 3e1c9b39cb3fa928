//! Reads a conversation that is written the way an RFC prints it, and gives the steps that the player plays.
//!
//! | line | what happens |
//! |---|---|
//! | `DNS: A 127.0.0.1, AAAA ::1` | what the name server answers; also `NXDOMAIN`, `SERVFAIL`, `REFUSED`, `nothing`, `silence` |
//! | `TCP: refused`, `TCP: silence` | nothing listens; a full backlog, so that no connection comes up |
//! | `TIME: 800ms` | how long the check may take; 20 s if absent |
//! | `S: 220 mx.test ESMTP` | the server says a line; lines in a row leave in one segment; `\x00`, `\r`, `\\` are escapes |
//! | `C: EHLO *` | the client must say this line; `*` stands for anything |
//! | `-- TLS good` | the server shakes hands, with this one of [`crate::certificates`] |
//! | `-- hangs`, `-- closes`, `-- resets` | silence until the client goes; FIN; RST |
//!
//! The other directions (`-- …`) are listed in [`direction`].

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// One thing that the server does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Say these bytes, in one write.
    Say(Vec<u8>),
    /// Hear a line like this one; `*` stands for anything.
    Hear(String),
    /// Hear any line, and say it back behind these words.
    ThrowBack(String),
    /// Hear exactly these bytes.
    HearBytes(Vec<u8>),
    /// Hear a mail, up to its final dot.
    HearMail,
    /// Hear a mail that ends without a dot, as the client goes.
    HearHalfAMail,
    /// Hear the first bytes of a TLS handshake.
    HearHello,
    /// Shake hands as the server of that name.
    Tls(String),
    /// Hear nothing for so long: who speaks now speaks out of turn.
    Wait(Duration),
    /// Say bytes one by one, with so long between them, until the client goes.
    Drip(Vec<u8>, Duration),
    /// Say bytes so many times, or until the client goes.
    Repeat(Vec<u8>, usize),
    /// Nothing more until the client goes.
    Hang,
    /// Close the connection in order.
    Close,
    /// Reset the connection.
    Reset,
}

/// What the name server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Nothing at all.
    Silence,
    /// A code (RFC 1035 section 4.1.1) and addresses.
    Answer { rcode: u8, a: Vec<Ipv4Addr>, aaaa: Vec<Ipv6Addr> },
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcp {
    Accepted,
    Refused,
    Silence,
}

/// A whole conversation.
#[derive(Clone, Debug)]
pub struct Script {
    pub names: Names,
    pub tcp: Tcp,
    pub time: Duration,
    pub steps: Vec<Step>,
}

/// The time of a check that should not run into its deadline, on the slowest machine.
const AMPLE: Duration = Duration::from_secs(20);

impl Script {
    /// Reads a conversation; a line that makes no sense is a fault of the test.
    pub fn read(text: &str) -> Self {
        let mut script = Self { names: names("A 127.0.0.1"), tcp: Tcp::Accepted, time: AMPLE, steps: Vec::new() };
        let mut saying = false;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            let was_saying = std::mem::replace(&mut saying, kind == "S:");
            match kind {
                "S:" => {
                    let bytes = [unescape(rest), b"\r\n".to_vec()].concat();
                    match script.steps.last_mut() {
                        Some(Step::Say(before)) if was_saying => before.extend(bytes),
                        _ => script.steps.push(Step::Say(bytes)),
                    }
                }
                "C:" => script.steps.push(Step::Hear(rest.to_owned())),
                "--" => script.steps.extend(direction(rest)),
                "DNS:" => script.names = names(rest),
                "TCP:" => script.tcp = if rest == "refused" { Tcp::Refused } else { Tcp::Silence },
                "TIME:" => script.time = time(rest),
                _ => panic!("{line:?} is no line of a conversation"),
            }
        }
        script
    }
}

/// The stage directions.
fn direction(text: &str) -> Vec<Step> {
    let hear = |line: &str| Step::Hear(line.to_owned());
    let say = |line: &str| Step::Say(format!("{line}\r\n").into_bytes());
    if let Some(offer) = text.strip_prefix("greets, offering ") {
        return vec![say("220 mx.test ESMTP"), hear("EHLO *"), Step::Say(offers(offer))];
    }
    if let Some(offer) = text.strip_prefix("greets inside TLS, offering ") {
        return [vec![Step::Tls("good".to_owned())], direction(&format!("greets, offering {offer}"))].concat();
    }
    if let Some(offer) = text.strip_prefix("protects, offering ") {
        let tls = Step::Tls("good".to_owned());
        return vec![hear("STARTTLS"), say("220 2.0.0 Ready to start TLS"), tls, hear("EHLO *"), Step::Say(offers(offer))];
    }
    if let Some(server) = text.strip_prefix("TLS ") {
        return vec![Step::Tls(server.to_owned())];
    }
    if let Some(rest) = text.strip_prefix("says ever again: ") {
        return vec![Step::Repeat(unescape(rest), usize::MAX)];
    }
    if let Some(bytes) = text.strip_prefix("says ") {
        return vec![Step::Say(unescape(bytes))];
    }
    if let Some(bytes) = text.strip_prefix("hears ") {
        return vec![Step::HearBytes(unescape(bytes))];
    }
    if let Some(words) = text.strip_prefix("throws back, behind ") {
        return vec![Step::ThrowBack(words.to_owned())];
    }
    if let Some(rest) = text.strip_prefix("waits ") {
        return vec![Step::Wait(time(rest))];
    }
    if let Some(rest) = text.strip_prefix("drips every ") {
        let (every, bytes) = rest.split_once(": ").expect("drips every TIME: BYTES");
        return vec![Step::Drip(unescape(bytes), time(every))];
    }
    if let Some(rest) = text.strip_prefix("repeats ") {
        let (times, bytes) = rest.split_once(" times: ").expect("repeats N times: BYTES");
        return vec![Step::Repeat(unescape(bytes), times.parse().expect("a number of times"))];
    }
    match text {
        "takes the login" => vec![hear("AUTH PLAIN *"), say("235 2.7.0 Authentication successful")],
        "takes sender and recipient" => vec![hear("MAIL FROM:*"), say("250 2.1.0 Ok"), hear("RCPT TO:*"), say("250 2.1.5 Ok")],
        "takes the mail, up to the dot" => vec![hear("DATA"), say("354 End data with <CR><LF>.<CR><LF>"), Step::HearMail],
        "sees the mail end without a dot" => vec![Step::HearHalfAMail],
        "sees a TLS hello" => vec![Step::HearHello],
        "hangs" => vec![Step::Hang],
        "closes" => vec![Step::Close],
        "resets" => vec![Step::Reset],
        _ => panic!("{text:?} is no direction"),
    }
}

/// The reply to EHLO with these keywords, separated by commas; `nothing` for none.
fn offers(keywords: &str) -> Vec<u8> {
    let keywords: Vec<&str> = keywords.split(", ").filter(|keyword| *keyword != "nothing").collect();
    let lines: Vec<&str> = std::iter::once("mx.test").chain(keywords).collect();
    let last = lines.len() - 1;
    let line = |(at, text): (usize, &&str)| format!("250{}{text}\r\n", if at == last { ' ' } else { '-' });
    lines.iter().enumerate().map(line).collect::<String>().into_bytes()
}

fn names(text: &str) -> Names {
    let answer = |rcode| Names::Answer { rcode, a: Vec::new(), aaaa: Vec::new() };
    match text {
        "silence" => return Names::Silence,
        "nothing" => return answer(0),
        "SERVFAIL" => return answer(2),
        "NXDOMAIN" => return answer(3),
        "REFUSED" => return answer(5),
        _ => {}
    }
    let of = |kind: &str| text.split(", ").filter_map(|record| record.strip_prefix(kind)).map(str::to_owned).collect::<Vec<_>>();
    let a = of("A ").iter().map(|address| address.parse().expect("an IPv4 address")).collect();
    let aaaa = of("AAAA ").iter().map(|address| address.parse().expect("an IPv6 address")).collect();
    Names::Answer { rcode: 0, a, aaaa }
}

fn time(text: &str) -> Duration {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').expect("a time in s or ms"), 1000),
    };
    Duration::from_millis(number.parse::<u64>().expect("a whole number") * unit)
}

pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(b'x') => {
                let digits: String = bytes.by_ref().take(2).map(char::from).collect();
                out.push(u8::from_str_radix(&digits, 16).expect("two hexadecimal digits"));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// Whether a line is like a pattern in which `*` stands for anything.
pub fn is_like(line: &str, pattern: &str) -> bool {
    let Some((begin, pattern)) = pattern.split_once('*') else { return line == pattern };
    let (middle, end) = pattern.rsplit_once('*').unwrap_or(("", pattern));
    let Some(mut rest) = line.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end)) else { return false };
    middle.split('*').all(|part| {
        let found = rest.find(part);
        rest = found.map_or("", |at| &rest[at + part.len()..]);
        found.is_some()
    })
}

#[test]
fn a_star_stands_for_anything_and_nothing_else_does() {
    for (line, pattern, like) in [
        ("EHLO a.test", "EHLO *", true),
        ("EHLO a.test", "EHLO a.test", true),
        ("EHLO a.test2", "EHLO a.test", false),
        ("HELO a.test", "EHLO *", false),
        ("MAIL FROM:<a@b> SIZE=9", "MAIL FROM:<*> SIZE=*", true),
        ("MAIL FROM:<a@b> SIZE=9", "MAIL FROM:<*>", false),
        ("RCPT TO:<a@b> NOTIFY=NEVER", "RCPT TO:*NEVER", true),
    ] {
        assert_eq!(is_like(line, pattern), like, "{line} {pattern}");
    }
}
