//! `mailverity receiver`, the program: what it prints, and how it ends.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};

use super::{Client, HONEST, PATIENCE, tls};

/// The program at work for example.org.
pub struct Program {
    pub child: Child,
    pub address: SocketAddr,
    pub lines: Lines<BufReader<ChildStdout>>,
    errors: BufReader<ChildStderr>,
}

impl Program {
    /// With these flags, printing JSON.
    pub async fn start(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailverity"));
        command.args([
            "receiver",
            "--listen",
            "127.0.0.1:0",
            "--domain",
            "example.org",
            "--hostname",
            "mx.example.org",
            "-o",
            "json",
        ]);
        command.args(flags).env_remove("RUST_LOG").kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let first = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let first: Value = serde_json::from_str(&first).unwrap();
        let address = first["listening"].as_str().unwrap().parse().unwrap();
        Self { child, address, lines, errors }
    }

    /// The next mail that it prints.
    pub async fn mail(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a mail in time").unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until it says this on standard error.
    pub async fn says(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            let read = timeout(PATIENCE, self.errors.read_line(&mut line)).await.expect("a line in time").unwrap();
            assert!(read > 0, "it ended without saying {part:?}");
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Sends SIGTERM and returns its exit code, and all that is left on standard error.
    pub async fn ends(mut self) -> (i32, String) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        let status = timeout(PATIENCE, self.child.wait()).await.expect("an end in time").unwrap();
        let mut said = String::new();
        self.errors.read_to_string(&mut said).await.unwrap();
        (status.code().unwrap(), said)
    }
}

/// A folder of a test's own, gone with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("mailverity-test-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writes a file, and returns its path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command that cannot start says.
async fn refused(flags: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailverity"));
    // Nobody's own cluster is to be found.
    command.env("KUBECONFIG", "/nonexistent").env_remove("KUBERNETES_SERVICE_HOST");
    let output = command.arg("receiver").args(flags).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{flags:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn each_mail_is_one_line_without_its_text() {
    let mut program = Program::start(&[]).await;
    let talk =
        HONEST.replace("C: Subject: honest", "C: Subject: honest\nC: X-Mailverity-Probe: 7\nC: Auto-Submitted: auto-replied");
    Client::connect(program.address).await.plays(&talk.replace("body", "the text")).await;
    let mail = program.mail().await;
    assert!(!mail.to_string().contains("the text"));
    assert_eq!((&mail["from"], &mail["to"][0]), (&"ops@client.test".into(), &"notify@example.org".into()));
    assert_eq!((&mail["header"]["subject"], &mail["header"]["x-mailverity-probe"]), (&"honest".into(), &"7".into()));
    assert_eq!((&mail["header"]["autoSubmitted"], &mail["peer"]["helo"]), (&"auto-replied".into(), &"client.test".into()));
    assert_eq!(program.ends().await, (0, String::new()));
}

#[tokio::test]
async fn at_the_end_a_mail_under_way_still_comes() {
    let mut program = Program::start(&[]).await;
    let mut client = Client::connect(program.address).await;
    let begun = "S: 220 *\nC: HELO a.test\nC: MAIL FROM:<>\nC: RCPT TO:<notify@example.org>\nC: DATA\nS: 250 *\nS: 250 *\nS: 250 *\nS: 354 *";
    client.plays(begun).await;
    let mut idle = Client::connect(program.address).await;
    idle.plays("S: 220 *").await;
    let pid = program.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    idle.plays("S: 421 4.3.2 *\n-- closed").await;
    client.plays("C: Subject: late\nC: .\nS: 250 *\nS: 421 *\n-- closed").await;
    assert_eq!(program.mail().await["header"]["subject"], "late");
    assert!(timeout(PATIENCE, program.child.wait()).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_a_bad_one_is_not() {
    let folder = Folder::new();
    let (chain, key) = (folder.0.join("tls.crt"), folder.0.join("tls.key"));
    let write = |pair: &(String, String)| {
        // Times of files are coarse: another second is another file.
        let before = std::fs::metadata(&key).and_then(|about| about.modified()).ok();
        let end = Instant::now() + Duration::from_secs(3);
        loop {
            std::fs::write(&chain, &pair.0).unwrap();
            std::fs::write(&key, &pair.1).unwrap();
            if std::fs::metadata(&key).and_then(|about| about.modified()).ok() != before || Instant::now() > end {
                return;
            }
        }
    };
    let (old, new) = (tls::pair("mx.example.org"), tls::pair("mx.example.org"));
    write(&old);
    let mut program = Program::start(&["--tls-cert", chain.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]).await;
    tls::handshake(tls::asked(program.address, "").await, &old.0, "mx.example.org").await.unwrap();
    write(&(old.0.clone(), new.1.clone()));
    let said = program.says("the old certificate stays in use").await;
    assert!(said.contains("does not belong") && !said.contains("PRIVATE"), "{said}");
    tls::handshake(tls::asked(program.address, "").await, &old.0, "mx.example.org").await.unwrap();
    write(&new);
    program.says("the new certificate is in use").await;
    tls::handshake(tls::asked(program.address, "").await, &new.0, "mx.example.org").await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_meant_names_its_flag_and_what_to_do() {
    let nowhere = "/nonexistent.pem";
    for (flags, parts) in [
        (vec![], ["no cluster is configured", "--domain"]),
        (vec!["--allow-source", "192.0.2.0/24"], ["--domain", "required"]),
        (vec!["--domain", "a.test", "--namespaces", "mail"], ["--namespaces", "cannot be used"]),
        (vec!["--domain", "a.test", "--tls", "Off"], ["--tls", "None"]),
        (vec!["--domain", "a.test,b.test"], ["--domain", "repeat the flag"]),
        (vec!["--domain", "localhost"], ["--domain", "fully qualified"]),
        (vec!["--domain", "a.test", "--tls", "Required"], ["--tls Required", "--tls-cert"]),
        (vec!["--domain", "a.test", "--tls-cert", nowhere], ["--tls-key", "required"]),
        (vec!["--domain", "a.test", "--tls-cert", nowhere, "--tls-key", nowhere], ["--tls-cert", "No such file"]),
        (vec!["--domain", "a.test", "--allow-source", "everyone"], ["--allow-source", "192.0.2.0/24"]),
        (vec!["--domain", "a.test", "--listen", "192.0.2.1:25"], ["--listen", "192.0.2.1:25"]),
        (vec!["--domain", "a.test", "--max-message-bytes", "1"], ["--max-message-bytes", "1024"]),
    ] {
        let said = refused(&flags).await;
        assert!(parts.iter().all(|part| said.contains(part)), "{flags:?}: {said}");
    }
}
