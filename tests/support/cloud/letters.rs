//! The mail behind the played APIs: Dovecot's maildirs, into which Postfix really delivers, or letters in memory.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use mail_parser::MessageParser;

use crate::support::stack::Stack;

/// A letter in a folder.
#[derive(Clone, Debug)]
pub struct Letter {
    /// 16 hexadecimal digits.
    pub id: String,
    /// INBOX, SPAM or TRASH.
    pub folder: &'static str,
    /// When it came, in seconds since 1970.
    pub at: i64,
    pub seen: bool,
    pub text: Vec<u8>,
}

/// Mailboxes.
pub trait Letters: Send + Sync {
    /// The letters of a user, the newest first; none where there is no such user.
    fn of(&self, user: &str) -> Option<Vec<Letter>>;
    /// Puts a letter elsewhere, or away.
    fn moves(&self, user: &str, id: &str, to: Option<&'static str>);
    fn marks_seen(&self, user: &str, id: &str);
}

impl Letter {
    /// The fields of its header, in their order.
    pub fn fields(&self) -> Vec<(String, String)> {
        let mail = MessageParser::default().parse_headers(&self.text[..]).unwrap();
        let raw = mail.headers_raw().map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        raw.collect()
    }
}

/// Maildirs, one a user.
pub struct Maildirs(PathBuf);

const FOLDERS: [(&str, &str); 3] = [("INBOX", ""), ("SPAM", ".Junk"), ("TRASH", ".Trash")];

impl Maildirs {
    pub fn of(stack: &Stack) -> Self {
        Self(stack.var("MAIL_DIR").into())
    }

    fn find(&self, user: &str, id: &str) -> Option<PathBuf> {
        FOLDERS.iter().flat_map(|(_, folder)| files(&self.0.join(user).join(folder))).find(|file| identity(file) == id)
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let parts = ["new", "cur"].into_iter().flat_map(|part| fs::read_dir(folder.join(part)).into_iter().flatten().flatten());
    parts.map(|file| file.path()).collect()
}

fn identity(file: &Path) -> String {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let mut hasher = DefaultHasher::new();
    name.split(':').next().unwrap().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

impl Letters for Maildirs {
    fn of(&self, user: &str) -> Option<Vec<Letter>> {
        if user.contains('/') || !user.contains('@') {
            return None;
        }
        let mut letters = Vec::new();
        for (folder, name) in FOLDERS {
            for file in files(&self.0.join(user).join(name)) {
                // It may be gone, or have another name, by now.
                let (Ok(text), Ok(about)) = (fs::read(&file), fs::metadata(&file)) else { continue };
                let seen = file.to_string_lossy().rsplit(":2,").next().is_some_and(|flags| flags.contains('S'));
                letters.push(Letter { id: identity(&file), folder, at: about.mtime(), seen, text });
            }
        }
        letters.sort_by_key(|letter| std::cmp::Reverse(letter.at));
        Some(letters)
    }

    fn moves(&self, user: &str, id: &str, to: Option<&'static str>) {
        let Some(file) = self.find(user, id) else { return };
        let Some(to) = to else {
            fs::remove_file(file).ok();
            return;
        };
        let (owner, folder) = (fs::metadata(&self.0).unwrap(), FOLDERS.iter().find(|(name, _)| *name == to).unwrap().1);
        let folder = self.0.join(user).join(folder);
        for part in ["", "new", "cur", "tmp"] {
            fs::create_dir_all(folder.join(part)).unwrap();
            chown(folder.join(part), Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        fs::rename(&file, folder.join("cur").join(file.file_name().unwrap())).ok();
    }

    fn marks_seen(&self, user: &str, id: &str) {
        let Some(file) = self.find(user, id) else { return };
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let name = name.split(":2,").next().unwrap();
        fs::rename(&file, file.parent().unwrap().with_file_name("cur").join(format!("{name}:2,S"))).ok();
    }
}

/// Letters of one user, in memory.
#[derive(Clone)]
pub struct Memory {
    user: &'static str,
    letters: Arc<Mutex<Vec<Letter>>>,
}

impl Memory {
    pub fn of(user: &'static str) -> Self {
        Self { user, letters: Arc::default() }
    }

    /// A letter that came so many seconds ago; its id.
    pub fn put(&self, folder: &'static str, seconds: i64, text: &str) -> String {
        let mut letters = self.letters.lock().unwrap();
        let id = uuid::Uuid::new_v4().simple().to_string()[..16].to_owned();
        let at = jiff::Timestamp::now().as_second() - seconds;
        letters.push(Letter { id: id.clone(), folder, at, seen: false, text: text.as_bytes().to_vec() });
        id
    }

    /// Its folder, and whether it was seen; none where it is gone.
    pub fn find(&self, id: &str) -> Option<(&'static str, bool)> {
        self.letters.lock().unwrap().iter().find(|letter| letter.id == id).map(|letter| (letter.folder, letter.seen))
    }
}

impl Letters for Memory {
    fn of(&self, user: &str) -> Option<Vec<Letter>> {
        let mut letters = self.letters.lock().unwrap().clone();
        letters.sort_by_key(|letter| std::cmp::Reverse(letter.at));
        (user == self.user).then_some(letters)
    }

    fn moves(&self, _: &str, id: &str, to: Option<&'static str>) {
        let mut letters = self.letters.lock().unwrap();
        match to {
            Some(to) => letters.iter_mut().filter(|letter| letter.id == id).for_each(|letter| letter.folder = to),
            None => letters.retain(|letter| letter.id != id),
        }
    }

    fn marks_seen(&self, _: &str, id: &str) {
        self.letters.lock().unwrap().iter_mut().filter(|letter| letter.id == id).for_each(|letter| letter.seen = true);
    }
}
