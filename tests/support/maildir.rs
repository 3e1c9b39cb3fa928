//! Mailboxes of the mail stack as files: what is in them, what a test puts there, what is done with mail that comes, and what
//! Postfix told of its deliveries.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::stack::Stack;

/// The folder of a mailbox that mail arrives in.
pub const INBOX: &str = "";
/// The folder for junk.
pub const JUNK: &str = ".Junk";

/// A mail as it lies in a folder.
#[derive(Clone, Debug)]
pub struct Filed {
    /// Maildir's letters for its flags: `T` is \Deleted, `S` is \Seen.
    pub flags: String,
    /// The whole mail.
    pub text: String,
}

impl Filed {
    /// The value of a header that stands on one line; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default().split("\n\n").next().unwrap_or_default();
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).unwrap_or_default()
    }
}

impl Stack {
    fn mailbox(&self, address: &str) -> PathBuf {
        PathBuf::from(self.var("MAIL_DIR")).join(address)
    }

    /// The mails in a folder, seen or not.
    pub fn folder(&self, address: &str, folder: &str) -> Vec<Filed> {
        let dir = self.mailbox(address).join(folder);
        let files = ["new", "cur"].into_iter().flat_map(|part| fs::read_dir(dir.join(part)).into_iter().flatten().flatten());
        let read = |file: fs::DirEntry| {
            let name = file.file_name().to_string_lossy().into_owned();
            let flags = name.split_once(":2,").map(|(_, flags)| flags.split(',').next().unwrap_or_default().to_owned());
            // It may be gone, or have another name, by now.
            let text = String::from_utf8_lossy(&fs::read(file.path()).ok()?).into_owned();
            Some(Filed { flags: flags.unwrap_or_default(), text })
        };
        files.filter_map(read).collect()
    }

    /// The mails of a whole mailbox that hold `part`, in whatever folder.
    pub fn everywhere(&self, address: &str, part: &str) -> Vec<Filed> {
        let all = [INBOX, JUNK].into_iter().flat_map(|folder| self.folder(address, folder));
        all.filter(|mail| mail.text.contains(part)).collect()
    }

    /// Puts a mail into a folder, as if it had lain there.
    pub fn put(&self, address: &str, folder: &str, text: &str, flags: &str) {
        let (owner, dir) = (fs::metadata(self.var("MAIL_DIR")).unwrap(), self.mailbox(address));
        let give = |path: &Path| chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
        // Whole, or Dovecot would not deliver into it.
        let parts = ["tmp", "cur", "new"].map(|part| Path::new(folder).join(part));
        for part in [PathBuf::new(), folder.into()].into_iter().chain(parts) {
            fs::create_dir_all(dir.join(&part)).unwrap();
            give(&dir.join(part));
        }
        let name = format!("{}.{}.test", jiff::Timestamp::now().as_second(), Uuid::new_v4().simple());
        let (tmp, cur) =
            (dir.join(folder).join("tmp").join(&name), dir.join(folder).join("cur").join(format!("{name}:2,{flags}")));
        fs::write(&tmp, text).unwrap();
        give(&tmp);
        fs::rename(tmp, cur).unwrap();
    }

    /// What Dovecot does with mail that comes to an address, in the language Sieve.
    pub fn sieve(&self, address: &str, script: &str) {
        let sieve = PathBuf::from(self.var("MAIL_DIR")).with_file_name("sieve");
        let (owner, dir) = (fs::metadata(&sieve).unwrap(), sieve.join(address));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("active.sieve"), script).unwrap();
        for path in [dir.clone(), dir.join("active.sieve")] {
            chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
    }

    /// The mails that Postfix took for an address, by Message-ID: how often each was submitted with all its DATA.
    pub fn taken(&self, address: &str) -> BTreeMap<String, usize> {
        let log = fs::read(self.var("POSTFIX_LOG")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let (mut ids, mut queued, mut ours) = (HashMap::new(), HashSet::new(), HashSet::new());
        let to = format!("to=<{address}>");
        for line in log.lines() {
            // date host program[pid]: QUEUEID: what
            let Some((queue, what)) = line.split_once("]: ").and_then(|(_, rest)| rest.split_once(": ")) else { continue };
            if let Some(id) = what.strip_prefix("message-id=") {
                ids.insert(queue, id);
            } else if what.contains("(queue active)") {
                queued.insert(queue);
            } else if what.contains(&to) {
                ours.insert(queue);
            }
        }
        let mut taken = BTreeMap::new();
        for queue in ours.intersection(&queued) {
            *taken.entry(ids.get(queue).copied().unwrap_or(queue).to_owned()).or_default() += 1;
        }
        taken
    }

    /// The probes whose answers a receiver has taken with 250, as Postfix was told: by the ids in their addresses at a domain.
    pub fn answered(&self, domain: &str) -> BTreeSet<Uuid> {
        let log = fs::read(self.var("POSTFIX_LOG")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let (at, sent) = (format!("@{domain}>"), "status=sent (250 ");
        let lines = log.lines().filter(|line| line.contains(&at) && line.contains(sent));
        lines.filter_map(|line| line.split_once(&at)?.0.rsplit_once('+')?.1.parse().ok()).collect()
    }

    /// Sends a mail as anybody else would: with what is in `headers`, by plain SMTP.
    pub async fn send(&self, from: &str, to: &str, headers: &str) {
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port("PLAIN_PORT"))).await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut replies = BufReader::new(read).lines();
        for (said, code) in [
            (String::new(), "220 "),
            ("EHLO example.test\r\n".to_owned(), "250 "),
            (format!("MAIL FROM:<{from}>\r\n"), "250 "),
            (format!("RCPT TO:<{to}>\r\n"), "250 "),
            ("DATA\r\n".to_owned(), "354 "),
            (format!("From: <{from}>\r\nTo: <{to}>\r\n{headers}\r\n\r\nhello\r\n.\r\n"), "250 "),
        ] {
            write.write_all(said.as_bytes()).await.unwrap();
            let reply = loop {
                let line = replies.next_line().await.unwrap().expect("a reply");
                if line.as_bytes().get(3) != Some(&b'-') {
                    break line;
                }
            };
            assert!(reply.starts_with(code), "{said}{reply}");
        }
    }
}
