//! Mail that comes in: Postfix and swaks as the clients of `mailverity receiver`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;
use uuid::Uuid;

use super::support::{
    command::{Folder, start},
    stack::Stack,
};

/// The program at work.
struct Receiver {
    child: Child,
    lines: mpsc::Receiver<String>,
    address: String,
}

impl Receiver {
    fn start(port: u16, domain: &str, flags: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let mut child =
            start(&[&["receiver", "--listen", &listen, "--domain", domain, "-o", "json"], flags].concat(), "/dev/null");
        let (out, mut errors) = (BufReader::new(child.stdout.take().unwrap()), child.stderr.take().unwrap());
        let (printed, lines) = mpsc::channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| printed.send(line)));
        // Its log is long, and a pipe is not.
        thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        let mut receiver = Self { child, lines, address: listen };
        receiver.address = receiver.next()["listening"].as_str().map(str::to_owned).unwrap();
        receiver
    }

    /// The next line that it prints.
    fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(30)).expect("a line in time");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn swaks(server: &str, from: &str, to: &str, more: &[&str]) -> Output {
    let mut command = Command::new("swaks");
    command.args(["--server", server, "--helo", "client.test", "--from", from, "--to", to]).args(more);
    command.output().expect("swaks, which tests/mailstack/install.sh brings")
}

/// The certificate of the stack and its key.
fn pair(stack: &Stack) -> (String, String) {
    let tls = stack.var("CA_FILE").strip_suffix("ca.pem").unwrap().to_owned();
    (format!("{tls}server.pem"), format!("{tls}server.key"))
}

#[test]
fn swaks_brings_mail_with_and_without_tls_and_relays_nothing() {
    let stack = Stack::get();
    let (chain, key) = pair(&stack);
    let mut receiver = Receiver::start(0, "receiver.test", &["--tls-cert", &chain, "--tls-key", &key]);
    let to = "notify+7@receiver.test";
    for (flags, tls) in [(&["--pipeline"][..], false), (&["--tls"], true), (&["--tls", "--pipeline"], true)] {
        let subject = format!("swaks {}", Uuid::new_v4());
        let output =
            swaks(&receiver.address, "ops@client.test", to, &[&["--header", &format!("Subject: {subject}")], flags].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let mail = receiver.next();
        assert_eq!((mail["header"]["subject"].as_str(), mail["to"][0].as_str()), (Some(subject.as_str()), Some(to)));
        assert_eq!(mail.get("tls").is_some(), tls, "{flags:?}: {mail}");
    }
    let output = swaks(&receiver.address, "ops@client.test", "victim@elsewhere.test", &[]);
    let talk = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && talk.contains("550 5.7.1"), "{talk}");
}

#[test]
fn postfix_brings_what_its_users_send_by_tls() {
    let (stack, folder) = (Stack::get(), Folder::new());
    let (chain, key) = pair(&stack);
    let flags = ["--tls-cert", &chain, "--tls-key", &key, "--tls", "Required"];
    let mut receiver = Receiver::start(stack.port("RECEIVER_TLS_PORT"), "tls.receiver.test", &flags);
    let server = format!("smtp://localhost:{}", stack.port("SUBMISSION_PORT"));
    let password = folder.file("password", "probe-secret");
    let flags = ["--level", "Deliver", "--from", "probe@example.test", "--to", "notify+probe@tls.receiver.test"];
    let account = ["--username", "probe@example.test", "--password-file", &password, "--ca-file", stack.var("CA_FILE")];
    let ran = super::support::command::run(&[&["probe", &server], &flags[..], &account[..]].concat(), "");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let mail = receiver.next();
    assert_eq!((&mail["from"], &mail["peer"]["helo"]), (&"probe@example.test".into(), &"mail.example.test".into()));
    assert_eq!((&mail["tls"]["version"], &mail["header"]["autoSubmitted"]), (&"TLSv1.3".into(), &"auto-generated".into()));
    assert!(mail["header"]["x-mailverity-run"].is_string(), "{mail}");
}

#[test]
fn a_bounce_of_postfix_is_read_with_what_it_says() {
    let stack = Stack::get();
    let mut receiver = Receiver::start(stack.port("RECEIVER_PORT"), "plain.receiver.test", &[]);
    let from = format!("notify+{}@plain.receiver.test", Uuid::new_v4().simple());
    let to = format!("bounced-{}@example.test", Uuid::new_v4().simple());
    let login = ["--tls", "--auth", "PLAIN", "--auth-user", "probe@example.test", "--auth-password", "probe-secret"];
    let output = swaks(&format!("localhost:{}", stack.port("SUBMISSION_PORT")), &from, &to, &login);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let mail = receiver.next();
    assert_eq!((&mail["from"], &mail["to"][0]), (&Value::Null, &from.as_str().into()));
    let bounce = &mail["bounce"];
    assert_eq!((&bounce["action"], &bounce["status"]), (&"Failed".into(), &"5.1.1".into()), "{mail}");
    assert!(bounce["recipient"] == to.as_str() && bounce["messageID"].is_string(), "{mail}");
}
