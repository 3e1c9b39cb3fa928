//! What a client has said so far, and what the next command means (RFC 5321 section 4.1.4). Pure: replies go into a buffer.

use std::{net::IpAddr, sync::Arc};

use super::{
    address::Address,
    command::{Command, Fault},
    draft::Draft,
    limits::Limits,
    outcome::Counters,
    site::{Recipient, Rules, no_tls},
};

/// What is to be done beside replying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Read the next command.
    Stay,
    /// Read a mail up to its dot.
    Data,
    /// Read so many octets, as the last of a mail or not; nobody wants them if not `wanted`.
    Bdat { size: u64, last: bool, wanted: bool },
    /// Shake hands.
    StartTls,
    /// Hang up.
    Leave,
}

/// A mail that is being told of.
pub(super) struct Transaction {
    pub from: Option<Address>,
    pub to: Vec<Recipient>,
    /// The most octets that all its recipients take.
    pub most: u64,
    /// What has come of it in chunks.
    pub draft: Option<Draft>,
    rules: Arc<Rules>,
    size: u64,
    utf8: bool,
}

/// A conversation.
pub(super) struct Session<'a> {
    limits: &'a Limits,
    counters: &'a Counters,
    source: IpAddr,
    /// What the client calls itself.
    pub helo: Option<Box<str>>,
    pub transaction: Option<Box<Transaction>>,
    commands: u32,
    refusals: u32,
}

impl<'a> Session<'a> {
    pub fn new(limits: &'a Limits, counters: &'a Counters, source: IpAddr) -> Self {
        Self { limits, counters, source, helo: None, transaction: None, commands: 0, refusals: 0 }
    }

    /// Forgets all but how often the client was refused (RFC 3207 section 4.2).
    pub fn forget(&mut self) {
        (self.helo, self.transaction) = (None, None);
    }

    /// Answers a command into `output`.
    pub fn answer(
        &mut self,
        command: Result<Command<'_>, Fault>,
        rules: &Arc<Rules>,
        secure: bool,
        output: &mut Vec<u8>,
    ) -> Next {
        self.commands += 1;
        let begin = output.len();
        let next = match command {
            Ok(command) => self.obey(command, rules, secure, output),
            Err(Fault::Refused(reply)) => say(output, reply),
            Err(Fault::Foreign) => {
                say(output, "521 5.5.1 This is SMTP");
                Next::Leave
            }
        };
        if output.get(begin) == Some(&b'5') {
            self.refusals += 1;
        }
        let too_many = match () {
            () if self.refusals > self.limits.refusals => "421 4.7.0 Too many errors",
            () if self.commands > self.limits.commands => "421 4.7.0 Too many commands, connect again",
            () => return next,
        };
        output.truncate(begin);
        say(output, too_many);
        Next::Leave
    }

    /// Whether it was the client's fault that it was told to leave.
    pub fn is_abusive(&self) -> bool {
        self.refusals > self.limits.refusals || self.commands > self.limits.commands
    }

    fn obey(&mut self, command: Command<'_>, rules: &Arc<Rules>, secure: bool, output: &mut Vec<u8>) -> Next {
        let needs_tls = !secure && rules.requires_tls();
        match command {
            Command::Ehlo(name) | Command::Helo(name) => {
                self.transaction = None;
                self.helo = Some(name.into());
                if matches!(command, Command::Ehlo(_)) {
                    output.extend_from_slice(rules.ehlo(secure));
                } else {
                    say(output, &format!("250 {}", rules.hostname));
                }
                Next::Stay
            }
            Command::Noop => say(output, "250 2.0.0 Ok"),
            Command::Quit => {
                say(output, "221 2.0.0 Bye");
                Next::Leave
            }
            Command::StartTls => Self::start_tls(rules, secure, output),
            // RFC 3207 section 4: these are left before TLS.
            Command::Bdat { size, last } if needs_tls => self.bdat(size, last, Some(no_tls(rules.offers_tls())), output),
            _ if needs_tls => say(output, no_tls(rules.offers_tls())),
            Command::Rset => {
                self.transaction = None;
                say(output, "250 2.0.0 Ok")
            }
            Command::Vrfy => say(output, "252 2.0.0 Not told; send mail and see"),
            Command::Expn => say(output, "502 5.5.1 There are no lists here"),
            Command::Help => say(output, "214 2.0.0 RFC 5321; this server takes mail for its own domains alone"),
            Command::Mail { from, size, utf8 } => {
                let reply = match () {
                    () if self.helo.is_none() => "503 5.5.1 Send EHLO or HELO first",
                    () if self.transaction.is_some() => "503 5.5.1 Another mail is under way",
                    () if size.is_some_and(|size| rules.is_too_large(size)) => "552 5.3.4 The mail is larger than allowed",
                    () => {
                        self.transaction = Some(Box::new(Transaction {
                            from: from.map(|from| from.to_address()),
                            to: Vec::new(),
                            most: rules.most(),
                            draft: None,
                            rules: Arc::clone(rules),
                            size: size.unwrap_or(0),
                            utf8,
                        }));
                        "250 2.1.0 Ok"
                    }
                };
                say(output, reply)
            }
            Command::Rcpt(to) => {
                let reply = self.rcpt(&to, secure);
                say(output, reply)
            }
            Command::Data => match self.transaction.as_deref().map(|mail| (mail.to.is_empty(), mail.draft.is_some())) {
                None => say(output, "503 5.5.1 Send MAIL first"),
                Some((true, _)) => say(output, "554 5.5.1 There are no valid recipients"),
                Some((_, true)) => say(output, "503 5.5.1 BDAT was begun"),
                Some(_) => {
                    say(output, "354 End data with <CR><LF>.<CR><LF>");
                    Next::Data
                }
            },
            Command::Bdat { size, last } => {
                let refusal = match self.transaction.as_deref().map(|mail| mail.to.is_empty()) {
                    None => Some("503 5.5.1 Send MAIL first"),
                    Some(true) => Some("554 5.5.1 There are no valid recipients"),
                    Some(false) => None,
                };
                self.bdat(size, last, refusal, output)
            }
        }
    }

    /// A chunk follows its command at once, wanted or not (RFC 3030 section 2); one that nobody should send is not waited for.
    fn bdat(&mut self, size: u64, last: bool, refusal: Option<&'static str>, output: &mut Vec<u8>) -> Next {
        let most = self.transaction.as_ref().map_or(0, |mail| mail.most);
        if let Some(refusal) = refusal {
            self.transaction = None;
            say(output, refusal);
        }
        if size > most.max(1 << 20).saturating_mul(2) {
            say(output, "552 5.3.4 The chunk is larger than allowed");
            return Next::Leave;
        }
        Next::Bdat { size, last, wanted: refusal.is_none() }
    }

    fn start_tls(rules: &Arc<Rules>, secure: bool, output: &mut Vec<u8>) -> Next {
        let refusal = match () {
            () if secure => "503 5.5.1 TLS is there already",
            () if rules.offers_tls() => {
                say(output, "220 2.0.0 Ready to start TLS");
                return Next::StartTls;
            }
            () if rules.requires_tls() => no_tls(false),
            () => "502 5.5.1 STARTTLS is not offered",
        };
        say(output, refusal)
    }

    fn rcpt(&mut self, to: &super::address::Spelled<'_>, secure: bool) -> &'static str {
        let Some(mail) = self.transaction.as_deref_mut() else { return "503 5.5.1 Send MAIL first" };
        if mail.draft.is_some() {
            return "503 5.5.1 BDAT was begun";
        }
        if to.is_international() && !mail.utf8 {
            return "553 5.6.7 The recipient's address needs SMTPUTF8";
        }
        if mail.to.len() >= self.limits.recipients {
            return "452 4.5.3 Too many recipients";
        }
        match mail.rules.judge(to, self.source, secure) {
            Ok(recipient) if mail.size > recipient.site.max_message_bytes => {
                "552 5.3.4 The mail is larger than this domain allows"
            }
            Ok(recipient) => {
                mail.most = mail.most.min(recipient.site.max_message_bytes);
                mail.to.push(recipient);
                "250 2.1.5 Ok"
            }
            Err((reply, outcome)) => {
                if let Some(outcome) = outcome {
                    self.counters.count(outcome);
                }
                reply
            }
        }
    }
}

/// Writes a line.
pub(super) fn say(output: &mut Vec<u8>, line: &str) -> Next {
    output.extend_from_slice(line.as_bytes());
    output.extend_from_slice(b"\r\n");
    Next::Stay
}
