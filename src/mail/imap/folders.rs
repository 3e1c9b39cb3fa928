//! Folders: which there are, how their names are written, and the one that is open (RFC 9051 sections 6.3.2, 6.3.3, 6.3.9).

use base64::{Engine, alphabet, engine::GeneralPurpose, engine::general_purpose::NO_PAD};

use super::{Said, Session, Status, classify, response::Folder, response::Response};
use crate::mail::{Diagnosis, Stage};

/// Where providers and servers put junk, where they do not say so by special use (promise 10).
const JUNK: [&str; 7] = ["Junk", "Junk Email", "Spam", "[Gmail]/Spam", "[Google Mail]/Spam", "Bulk", "INBOX.Junk"];
/// The most folders for junk that are looked into.
const MOST: usize = 8;

/// The folder that is open, and what is known of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Selected {
    /// As the server writes it; empty where none is open.
    pub(super) name: String,
    /// Whether it was opened to be changed.
    pub(super) writable: bool,
    /// UIDVALIDITY; 0 where the server told none.
    pub(super) validity: u32,
    /// UIDNEXT when it was opened.
    pub(super) next: u32,
    /// The messages that are there.
    pub(super) exists: u32,
    /// The messages that went since it was opened.
    expunged: u32,
    /// The messages that were there when it was opened.
    opened_with: u32,
    /// The highest UID of which a header was read since it was opened; 0 at first.
    pub(super) read_up_to: u32,
    /// Whether the server has just told what there is, so that one can look without asking.
    pub(super) told: bool,
    /// From which UID on it was looked at last, and how many had come by then.
    pub(super) looked_at: Option<(u32, u32)>,
}

impl Selected {
    /// Keeps what a status in passing tells while a folder is being opened: `* OK [UIDNEXT 7]`.
    pub(super) fn learn(&mut self, said: &Said) {
        if !self.name.is_empty() {
            return;
        }
        let number = |name| said.argument(name).and_then(|number| number.parse().ok());
        self.validity = number("UIDVALIDITY").unwrap_or(self.validity);
        self.next = number("UIDNEXT").unwrap_or(self.next);
    }

    pub(super) fn lose_one(&mut self) {
        self.exists = self.exists.saturating_sub(1);
        self.expunged = self.expunged.saturating_add(1);
    }

    /// How many came since it was opened.
    pub(super) fn arrived(&self) -> u32 {
        self.exists.saturating_add(self.expunged).saturating_sub(self.opened_with)
    }

    /// How many had come when what came since was last of interest.
    pub(super) fn known(&self) -> u32 {
        self.looked_at.map_or_else(|| self.arrived(), |(_, arrived)| arrived)
    }

    /// The most messages that can have this UID or a higher one.
    pub(super) fn at_most_from(&self, uid: u32) -> u32 {
        match self.looked_at {
            Some((from, before)) if uid >= from && uid > self.read_up_to => self.arrived().saturating_sub(before),
            _ if uid >= self.next => self.arrived(),
            _ => self.exists,
        }
    }
}

/// What LIST tells that matters here.
#[derive(Debug, Default)]
pub(super) struct Folders {
    pub(super) mailbox: String,
    pub(super) junk: Vec<String>,
    pub(super) trash: Option<String>,
}

impl Session {
    /// Looks for the folders, given as people write their names.
    ///
    /// # Errors
    /// What the refusal of LIST means.
    pub(super) async fn folders(&mut self, mailbox: &str, junk: &[String]) -> Result<Folders, Diagnosis> {
        let extended = self.can("SPECIAL-USE") && self.can("LIST-EXTENDED");
        let mut told = Vec::new();
        if extended {
            let answer = self.command(Stage::Select, r#"LIST "" "*" RETURN (SPECIAL-USE)"#).await?;
            told = answer.data;
        }
        // Whoever does not take the long form, after all, may tell special uses unasked.
        if told.is_empty() {
            told = self.accepted(Stage::Select, r#"LIST "" "*""#).await?.data;
        }
        let listed: Vec<Folder> = told
            .into_iter()
            .filter_map(|data| match data {
                Response::List(folder) => Some(folder),
                _ => None,
            })
            .filter(|folder| !folder.attributes.iter().any(|one| matches!(one.as_str(), "\\noselect" | "\\nonexistent")))
            .collect();
        Ok(among(&listed, mailbox, junk))
    }

    /// Opens a folder, to be changed or only to be read.
    ///
    /// # Errors
    /// What the refusal means.
    pub(super) async fn select(&mut self, name: &str, writable: bool) -> Result<(), Diagnosis> {
        let answer = self.try_select(name, writable).await?;
        if answer.status == Status::Ok { Ok(()) } else { Err(classify(Stage::Select, &answer, &self.about)) }
    }

    /// As [`Session::select`], where a refusal is no failure.
    ///
    /// # Errors
    /// Where the conversation breaks.
    pub(super) async fn try_select(&mut self, name: &str, writable: bool) -> Result<Said, Diagnosis> {
        self.selected = Selected::default();
        let command = if writable { "SELECT" } else { "EXAMINE" };
        let said = self.command(Stage::Select, &format!("{command} {}", quoted(name))).await?.said;
        if said.status == Status::Ok {
            self.selected.opened_with = self.selected.exists;
            name.clone_into(&mut self.selected.name);
            self.selected.writable = writable && said.code_name() != "READ-ONLY";
            if self.selected.next == 0 {
                self.selected.next = self.next_uid().await?;
            }
        }
        Ok(said)
    }

    /// UIDNEXT of a server that does not tell it (RFC 3501 section 6.3.1): one more than the last message has.
    async fn next_uid(&mut self) -> Result<u32, Diagnosis> {
        if self.selected.exists == 0 {
            return Ok(1);
        }
        let answer = self.accepted(Stage::Select, "UID FETCH * (UID)").await?;
        let last = answer.data.iter().filter_map(|data| match data {
            Response::Fetch(fetched) => fetched.uid,
            _ => None,
        });
        Ok(last.max().unwrap_or_default().saturating_add(1))
    }

    /// Whether the server named this capability.
    pub(super) fn can(&self, capability: &str) -> bool {
        self.capabilities.as_ref().is_some_and(|capabilities| capabilities.has(capability))
    }
}

fn among(listed: &[Folder], mailbox: &str, junk: &[String]) -> Folders {
    let with = |attribute: &str| {
        let with = listed.iter().filter(move |folder| folder.attributes.iter().any(|one| one == attribute));
        with.map(|folder| folder.name.clone()).collect::<Vec<_>>()
    };
    let mut found = with("\\junk");
    if found.is_empty() {
        let named = |folder: &&Folder| JUNK.iter().any(|name| name.eq_ignore_ascii_case(&folder.name));
        found.extend(listed.iter().filter(named).map(|folder| folder.name.clone()));
    }
    found.extend(junk.iter().map(|name| on_the_wire(name, listed)));
    let mailbox = on_the_wire(mailbox, listed);
    let mut folders = Folders { junk: Vec::new(), trash: with("\\trash").into_iter().next(), mailbox };
    for name in found {
        if !folders.junk.contains(&name) && name != folders.mailbox && folders.junk.len() < MOST {
            folders.junk.push(name);
        }
    }
    folders
}

/// A name as the server has it: it may have been copied from there, else it is written in modified UTF-7.
fn on_the_wire(name: &str, listed: &[Folder]) -> String {
    if listed.iter().any(|folder| folder.name == name) { name.to_owned() } else { utf_7(name) }
}

/// RFC 3501 section 5.1.3.
fn utf_7(name: &str) -> String {
    const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::IMAP_MUTF7, NO_PAD);
    let mut out = String::with_capacity(name.len());
    let mut shifted = Vec::new();
    let flush = |shifted: &mut Vec<u8>, out: &mut String| {
        if !shifted.is_empty() {
            out.push('&');
            BASE64.encode_string(&*shifted, out);
            out.push('-');
            shifted.clear();
        }
    };
    for letter in name.chars() {
        if matches!(letter, ' '..='~') {
            flush(&mut shifted, &mut out);
            out.push(letter);
            if letter == '&' {
                out.push('-');
            }
        } else {
            shifted.extend(letter.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    flush(&mut shifted, &mut out);
    out
}

/// A name as a quoted string. No name has control characters: ours are written in UTF-7, and theirs are not kept.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, attributes: &[&str]) -> Folder {
        Folder { name: name.to_owned(), attributes: attributes.iter().map(|one| (*one).to_owned()).collect() }
    }

    #[test]
    fn junk_is_found_by_special_use_else_by_name_and_what_the_spec_names_is_added() {
        let own = ["Ungewünschtes".to_owned()];
        let special = [folder("INBOX", &[]), folder("Spam", &[]), folder("Kram", &["\\hasnochildren", "\\junk"])];
        assert_eq!(among(&special, "INBOX", &own).junk, ["Kram", "Ungew&APw-nschtes"]);
        let plain = [folder("INBOX", &[]), folder("junk email", &[]), folder("[Gmail]/Spam", &[]), folder("Spams", &[])];
        assert_eq!(among(&plain, "INBOX", &[]).junk, ["junk email", "[Gmail]/Spam"]);
        let trash = [folder("[Gmail]/Bin", &["\\trash"])];
        assert_eq!(among(&trash, "INBOX", &[]).trash.as_deref(), Some("[Gmail]/Bin"));
    }

    #[test]
    fn the_mailbox_itself_is_no_junk() {
        assert!(among(&[folder("Spam", &["\\junk"])], "Spam", &[]).junk.is_empty());
    }

    #[test]
    fn names_are_written_in_modified_utf_7() {
        // The examples of RFC 3501 section 5.1.3.
        for (name, written) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Hi Mom -☺-!", "Hi Mom -&Jjo--!"),
            ("A & B", "A &- B"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("😀", "&2D3eAA-"),
            ("a\r\nb LOGOUT", "a&AA0ACg-b LOGOUT"),
        ] {
            assert_eq!(utf_7(name), written);
        }
        assert_eq!(on_the_wire("Entw&APw-rfe", &[folder("Entw&APw-rfe", &[])]), "Entw&APw-rfe");
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
