//! The mail stack that `tests/run` has started.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

/// The values of `DIR/env`, see tests/mailstack/README.md.
pub struct Stack(HashMap<String, String>);

/// To be held for a login by NTLM: Dovecot has one helper for all of them, which cannot tell two logins at once apart.
pub static NTLM: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

impl Stack {
    /// The running one; without it a test fails and says what to do.
    pub fn get() -> Self {
        let dir = std::env::var("MAILVERITY_TEST_MAILSTACK")
            .expect("MAILVERITY_TEST_MAILSTACK is not set: run `make test`, which starts Postfix and Dovecot");
        let env = fs::read_to_string(PathBuf::from(dir).join("env")).expect("the mail stack's env file");
        Self(env.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    pub fn var(&self, name: &str) -> &str {
        &self.0[name]
    }

    pub fn port(&self, name: &str) -> u16 {
        self.0[name].parse().unwrap()
    }

    pub fn ca(&self) -> Vec<u8> {
        fs::read(&self.0["CA_FILE"]).unwrap()
    }

    /// Lines of a log that hold all of these.
    pub fn log(&self, name: &str, with: &[&str]) -> usize {
        let log = fs::read(&self.0[name]).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| with.iter().all(|part| line.contains(part))).count()
    }

    /// The mails of an address whose text holds `part`.
    pub fn mails(&self, address: &str, part: &str) -> Vec<String> {
        let new = PathBuf::from(&self.0["MAIL_DIR"]).join(address).join("new");
        let files = fs::read_dir(new).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| fs::read(file.path()).ok()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        texts.filter(|text| text.contains(part)).collect()
    }

    /// Waits until an address has a mail that holds `part`: what Postfix has taken it delivers a moment later.
    pub async fn mail(&self, address: &str, part: &str) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(mail) = self.mails(address, part).pop() {
                return mail;
            }
            assert!(Instant::now() < end, "no mail with {part:?} came to {address}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Adds a user of this test's own, so that its log lines can be told from others'.
    pub async fn user(&self, name: &str, password: &str) -> String {
        self.users(&[name.to_owned()], password).await.remove(0)
    }

    /// Adds users of this test's own, who all have one password.
    pub async fn users(&self, names: &[String], password: &str) -> Vec<String> {
        use std::io::Write;
        let addresses: Vec<String> = names.iter().map(|name| format!("{name}@example.test")).collect();
        let mut lines = Vec::new();
        for address in &addresses {
            writeln!(lines, "{address}:{{PLAIN}}{password}::::::").unwrap();
        }
        // In one write: Dovecot reads the file while it grows.
        let mut users = fs::OpenOptions::new().append(true).open(&self.0["USERS_FILE"]).unwrap();
        users.write_all(&lines).unwrap();
        // Dovecot looks at the file once in a second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        addresses
    }
}
