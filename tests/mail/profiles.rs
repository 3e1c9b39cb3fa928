//! `check --live` of an `EmailProfile` against the real stack: the mail goes, is found and removed, and whatever is printed
//! shows neither a password nor a code.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::chown,
    path::PathBuf,
    process::Child,
};

use regex::Regex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{
    command::{Folder, Ran, run, start},
    leaks,
    stack::Stack,
};

/// A mailbox of a test's own, and what has to be written of it.
pub struct Owner {
    pub stack: Stack,
    pub address: String,
    password: String,
}

impl Owner {
    pub async fn new(test: &str) -> Self {
        let (stack, password) = (Stack::get(), leaks::password(test));
        let address = stack.user(&format!("{test}-{}", Uuid::new_v4().simple()), &password).await;
        Self { stack, address, password }
    }

    pub fn server(&self, port: &str, security: &str) -> Value {
        json!({"host": "localhost", "port": self.stack.port(port), "security": security, "tls": {"caRef": {"name": "ca"}}})
    }

    /// A profile read by IMAP within TLS; what is in `rest` is added or replaced.
    pub fn profile(&self, name: &str, rest: Value) -> String {
        let mut spec = json!({
            "address": self.address, "protocol": "IMAP", "server": self.server("IMAPS_PORT", "TLS"),
            "account": {"type": "Password", "secretRef": {"name": "account"}},
            "outgoing": self.server("SUBMISSION_PORT", "StartTLS"),
            "verification": {"senderRef": {"name": "relay"}, "timeout": "30s"},
        });
        for (key, value) in rest.as_object().unwrap() {
            spec[key] = value.clone();
        }
        object("EmailProfile", name, &spec)
    }

    /// The server that sends, the account with a password, and the CA.
    fn around(&self, password: &str, sender: Value) -> String {
        let mut server = self.server("SMTP_PORT", "StartTLS");
        server["sender"] = sender;
        let part = |kind: &str, name: &str, part: &str, data: Value| {
            let meta = json!({"name": name, "namespace": "team"});
            format!("---\n{}\n", json!({"apiVersion": "v1", "kind": kind, "metadata": meta, part: data}))
        };
        let ca = json!({"ca.crt": String::from_utf8_lossy(&self.stack.ca())});
        object("MailServer", "relay", &server)
            + &part("Secret", "account", "stringData", json!({"username": self.address, "password": password}))
            + &part("ConfigMap", "ca", "data", ca)
    }

    pub fn manifests(&self, profiles: &str) -> String {
        self.around(&self.password, json!({"address": "probe@example.test"})) + profiles
    }

    /// The mails in the mailbox, read or not.
    pub fn mails(&self) -> Vec<String> {
        let dir = PathBuf::from(self.stack.var("MAIL_DIR")).join(&self.address);
        let files = ["new", "cur"].into_iter().flat_map(|part| fs::read_dir(dir.join(part)).into_iter().flatten().flatten());
        files.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
    }

    /// How many mails to this address were queued.
    pub fn sent(&self) -> usize {
        self.stack.log("POSTFIX_LOG", &[&format!("to=<{}>", self.address), "status=sent"])
    }
}

pub fn object(kind: &str, name: &str, spec: &Value) -> String {
    let meta = json!({"name": name, "namespace": "team"});
    format!("---\n{}\n", json!({"apiVersion": "mailverity.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}))
}

/// `check --live` with these flags; no code may be seen.
pub fn check(manifests: &str, flags: &[&str]) -> Ran {
    let ran = run(&[&["check", "--live", "-f", "-"], flags].concat(), manifests);
    no_code_in(&ran.out);
    no_code_in(&ran.err);
    ran
}

/// A code is a UUID in parentheses wherever it stands in a mail; no other UUID is printed either.
fn no_code_in(text: &str) {
    let uuid = Regex::new(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap();
    // The Message-ID is made of another one, and a failure tells it.
    let codes: Vec<_> = uuid.find_iter(text).filter(|found| !text[found.end()..].starts_with('@')).collect();
    assert!(codes.is_empty(), "{codes:?}: {text}");
}

pub fn profiles(ran: &Ran) -> Vec<Value> {
    ran.lines().into_iter().filter(|line| line["kind"] == "EmailProfile").collect()
}

pub fn stage<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    report["stages"].as_array()?.iter().find(|stage| stage["name"] == name)
}

/// What JSON tells of a profile that works.
pub async fn proved(test: &str) -> Value {
    let owner = Owner::new(test).await;
    profiles(&check(&owner.manifests(&owner.profile("box", json!({}))), &["-o", "json"])).swap_remove(0)
}

#[tokio::test]
async fn a_mail_is_sent_found_and_removed_over_imap_and_over_pop3() {
    let owner = Owner::new("proved").await;
    let pop3 = json!({"protocol": "POP3", "server": owner.server("POP3S_PORT", "TLS")});
    let both = owner.profile("by-imap", json!({})) + &owner.profile("by-pop3", pop3);
    let ran = check(&owner.manifests(&both), &["-o", "json"]);
    let proofs = profiles(&ran);
    assert_eq!((ran.code, proofs.len()), (0, 2), "{}{}", ran.out, ran.err);
    for (proof, name) in proofs.iter().zip(["by-imap", "by-pop3"]) {
        assert_eq!(
            (&proof["name"], &proof["result"], &proof["reason"]),
            (&name.into(), &"Verified".into(), &"CodeReceived".into())
        );
        let took = proof["took"].as_str().unwrap();
        assert_eq!(proof["message"], format!("code found {took} after it was sent"));
        assert!(proof["sent"].as_str().unwrap() <= proof["received"].as_str().unwrap(), "{proof:#}");
        assert_eq!((&proof["outgoing"]["result"], &proof["level"]), (&"Verified".into(), &"Deliver".into()), "{proof:#}");
        for (part, last) in [(&proof["sending"], "DATA"), (&proof["outgoing"], "AUTH"), (proof, "Cleanup")] {
            assert_eq!(stage(part, last).unwrap()["result"], "Passed", "{part:#}");
        }
    }
    assert_eq!((owner.sent(), owner.mails().len()), (2, 0), "both mails came, and are removed");
}

#[tokio::test]
async fn every_form_of_output_tells_the_verdict_and_no_secret() {
    // promise 14: `check` and `run` search all that is printed
    let owner = Owner::new("forms").await;
    let manifests = owner.manifests(&owner.profile("box", json!({})));
    for (form, words) in [
        ("text", "Verified  EmailProfile team/box  code found "),
        ("yaml", "reason: CodeReceived"),
        ("junit", "<testcase classname=\"EmailProfile\" name=\"EmailProfile team/box\""),
    ] {
        let ran = check(&manifests, &["-o", form]);
        assert!(ran.code == 0 && ran.out.contains(words), "{}{}", ran.out, ran.err);
    }
    assert_eq!(owner.mails().len(), 0);
}

#[tokio::test]
async fn a_wrong_password_ends_it_before_anything_is_sent_and_is_not_tried_again() {
    // promises 7 and 8, at a shell
    let owner = Owner::new("mistyped").await;
    let both = owner.profile("one", json!({})) + &owner.profile("two", json!({}));
    let around = owner.around(&leaks::password("of-last-year"), json!({"address": "probe@example.test"}));
    let ran = check(&(around + &both), &["-o", "json"]);
    let proofs = profiles(&ran);
    let reasons: Vec<_> = proofs.iter().map(|proof| proof["reason"].as_str().unwrap()).collect();
    assert_eq!((ran.code, reasons), (1, vec!["AuthenticationFailed", "CredentialHeld"]), "{}", ran.out);
    assert_eq!(proofs[0]["stage"], "AUTH");
    assert!(proofs[0]["hint"].as_str().unwrap().contains("team/account"), "{:#}", proofs[0]);
    assert!(proofs.iter().all(|proof| proof["sending"].is_null() && proof["outgoing"].is_null()), "{}", ran.out);
    assert_eq!(owner.stack.log("DOVECOT_LOG", &[&owner.address, "Password mismatch"]), 1);
    assert_eq!(owner.sent(), 0);
}

#[tokio::test]
async fn what_the_sending_server_refuses_is_told_with_its_name_and_stage() {
    let owner = Owner::new("refused").await;
    // An address that is another account's.
    let mut relay = owner.server("SUBMISSION_PORT", "StartTLS");
    relay["sender"] = json!({"address": "boss@example.test"});
    relay["auth"] = json!({"type": "Password", "secretRef": {"name": "account"}});
    let manifests = owner.manifests(&owner.profile("box", json!({}))) + &object("MailServer", "other", &relay);
    let manifests = manifests.replace("\"senderRef\":{\"name\":\"relay\"}", "\"senderRef\":{\"name\":\"other\"}");
    let ran = check(&manifests, &["-o", "json"]);
    let proof = profiles(&ran).swap_remove(0);
    assert_eq!((ran.code, &proof["reason"], &proof["stage"]), (1, &"SendAsDenied".into(), &"RCPT".into()), "{proof:#}");
    assert_eq!(stage(&proof["sending"], "RCPT").unwrap()["result"], "Failed");
    assert_eq!((owner.sent(), owner.mails().len()), (0, 0));
    let text = check(&manifests, &[]).out;
    assert!(
        text.contains("  FAIL Sending localhost:") && text.contains("Unverified  EmailProfile team/box  SendAsDenied: "),
        "{text}"
    );
}

#[tokio::test]
async fn a_mail_that_is_sorted_into_junk_is_not_verified() {
    let owner = Owner::new("junk").await;
    let mail = PathBuf::from(owner.stack.var("MAIL_DIR"));
    let (dir, meta) = (mail.parent().unwrap().join("sieve").join(&owner.address), fs::metadata(&mail).unwrap());
    let own = |path: &std::path::Path| {
        use std::os::unix::fs::MetadataExt;
        chown(path, Some(meta.uid()), Some(meta.gid())).unwrap();
    };
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("active.sieve"), "require [\"fileinto\", \"mailbox\"];\nfileinto :create \"Junk\";\n").unwrap();
    own(&dir);
    own(&dir.join("active.sieve"));
    let ran = check(&owner.manifests(&owner.profile("box", json!({}))), &["-o", "json"]);
    let proof = profiles(&ran).swap_remove(0);
    assert_eq!((ran.code, &proof["reason"], &proof["result"]), (1, &"MessageInJunk".into(), &"Unverified".into()), "{proof:#}");
    assert!(proof["message"].as_str().unwrap().contains("Junk") && proof["sent"].is_string(), "{proof:#}");
    assert!(proof["received"].is_null());
}

#[tokio::test]
async fn a_level_below_deliver_opens_the_mailbox_and_sends_nothing() {
    let owner = Owner::new("visit").await;
    let manifests = owner.manifests(&owner.profile("box", json!({})));
    for (level, last) in [("Connect", "Capability"), ("Authenticate", "Select")] {
        let ran = check(&manifests, &["--level", level, "-o", "json"]);
        let proof = profiles(&ran).swap_remove(0);
        assert_eq!((ran.code, &proof["result"], &proof["level"]), (0, &"Verified".into(), &level.into()), "{proof:#}");
        assert!(proof["message"].as_str().unwrap().ends_with(&format!("; no mail was sent (--level {level})")), "{proof:#}");
        assert!(stage(&proof, last).is_some() && stage(&proof, "AUTH").is_some() == (level != "Connect"), "{proof:#}");
        assert_eq!((&proof["outgoing"]["level"], &proof["sending"]), (&level.into(), &Value::Null), "{proof:#}");
    }
    assert_eq!(owner.sent(), 0);
}

#[tokio::test]
async fn an_outgoing_server_that_fails_is_told_though_the_code_was_found() {
    let owner = Owner::new("outgoing").await;
    let nobody = json!({"outgoing": {"host": "localhost", "port": 1}});
    let ran = check(&owner.manifests(&owner.profile("box", nobody)), &["-o", "json"]);
    let proof = profiles(&ran).swap_remove(0);
    assert_eq!((ran.code, &proof["reason"]), (1, &"ConnectionRefused".into()), "{proof:#}");
    assert!(proof["message"].as_str().unwrap().starts_with("outgoing server localhost:1: TCP: "), "{proof:#}");
    assert!(proof["received"].is_string() && owner.mails().is_empty());
}

/// Reads standard error up to a line that holds this.
fn read_until(child: &mut Child, words: &str) -> (String, impl Read + use<>) {
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains(words) {
        assert!(err.read_line(&mut text).unwrap() > 0, "{text}");
    }
    (text, err)
}

#[tokio::test]
async fn in_mode_manual_a_person_is_asked_once_the_mailbox_opens_and_their_mail_is_found_and_kept() {
    let owner = Owner::new("manual").await;
    let manual = json!({"verification": {"mode": "Manual", "timeout": "1m"}});
    let file = Folder::new();
    let file = (file.file("box.yaml", owner.manifests(&owner.profile("box", manual))), file);
    let mut child = start(&["check", "--live", "-f", &file.0, "-o", "json"], "/dev/null");
    let (asked, mut err) = read_until(&mut child, "Ctrl-C");
    let line = asked.lines().next().unwrap();
    let words = format!("Send a mail to {} with the subject (", owner.address);
    let code = line.strip_prefix(&words).unwrap_or_else(|| panic!("{line}")).split(')').next().unwrap();
    submit(&owner.stack, &owner.address, &format!("[EXTERNAL] ({code})"));
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    let ran = Ran { code: child.wait().unwrap().code().unwrap(), out, err: rest };
    let proof = profiles(&ran).swap_remove(0);
    assert_eq!((ran.code, &proof["message"]), (0, &"code found".into()), "{}{}", ran.out, ran.err);
    assert!(proof["received"].is_string() && proof["sent"].is_null(), "{proof:#}");
    assert_eq!(proof["outgoing"]["result"], "Verified");
    assert_eq!(owner.mails().len(), 1, "a person's mail is kept");
    leaks::none_in("all that was printed", &(asked + &ran.out + &ran.err));
}

/// A mail as a person sends it.
fn submit(stack: &Stack, to: &str, subject: &str) {
    let stream = TcpStream::connect(("127.0.0.1", stack.port("PLAIN_PORT"))).unwrap();
    let (mut replies, mut out) = (BufReader::new(stream.try_clone().unwrap()).lines(), stream);
    let mail = format!("From: <person@example.test>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\r\nhere\r\n.\r\n");
    for (said, code) in [
        (String::new(), "220 "),
        ("EHLO example.test\r\n".to_owned(), "250 "),
        ("MAIL FROM:<probe@example.test>\r\n".to_owned(), "250 "),
        (format!("RCPT TO:<{to}>\r\n"), "250 "),
        ("DATA\r\n".to_owned(), "354 "),
        (mail, "250 "),
    ] {
        out.write_all(said.as_bytes()).unwrap();
        while !replies.next().unwrap().unwrap().starts_with(code) {}
    }
}
