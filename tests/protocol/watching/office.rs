//! A mailbox in memory that is served over IMAP and POP3, and in which mail comes while it is watched.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::Instant,
};

/// Asked before each command is answered, which one and on which connection, from 1: what the server says instead, if anything.
/// `TAG` is the command's, and behind BYE it goes.
pub type Trouble = Box<dyn FnMut(&str, u32) -> Option<&'static str> + Send>;

pub struct Mail {
    pub uid: u32,
    pub text: String,
    pub flags: String,
}

pub struct Folder {
    pub name: &'static str,
    pub validity: u32,
    pub next: u32,
    pub mails: Vec<Mail>,
}

pub struct State {
    pub folders: Vec<Folder>,
    pub capabilities: &'static str,
    pub trouble: Trouble,
    pub connections: u32,
    /// What was said, and when, in seconds.
    pub said: Vec<(f64, String)>,
}

impl State {
    fn folder(&mut self, name: &str) -> Option<&mut Folder> {
        self.folders.iter_mut().find(|folder| folder.name == name)
    }
}

#[derive(Clone)]
pub struct Office {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Sent on when something comes; and when connections are cut, with the goodbye.
    news: watch::Sender<Option<&'static str>>,
    begun: Instant,
}

impl Office {
    /// INBOX with five mails of other people, UIDs up to 20, and an empty Spam.
    pub async fn open(pop3: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let old = |uid| Mail { uid, text: format!("Subject: number {uid}\r\n\r\n"), flags: String::new() };
        let inbox = Folder { name: "INBOX", validity: 9, next: 21, mails: (16..21).map(old).collect() };
        let spam = Folder { name: "Spam", validity: 4, next: 8, mails: Vec::new() };
        let state = State {
            folders: vec![inbox, spam],
            capabilities: "IMAP4rev1 IDLE UIDPLUS",
            trouble: Box::new(|_, _| None),
            connections: 0,
            said: Vec::new(),
        };
        let office = Self { address, state: Arc::new(Mutex::new(state)), news: watch::Sender::new(None), begun: Instant::now() };
        let served = office.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let number = {
                    let mut state = served.state();
                    state.connections += 1;
                    state.connections
                };
                let office = served.clone();
                tokio::spawn(async move {
                    let mut desk = Desk { office, number, selected: None, idle: None };
                    if pop3 { desk.pop3(stream).await } else { desk.imap(stream).await }
                });
            }
        });
        office
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn with(self, edit: impl FnOnce(&mut State)) -> Self {
        edit(&mut self.state());
        self
    }

    /// A mail comes.
    pub fn put(&self, folder: &str, text: &str) {
        let mut state = self.state();
        let folder = state.folder(folder).unwrap();
        folder.mails.push(Mail { uid: folder.next, text: text.to_owned(), flags: String::new() });
        folder.next += 1;
        drop(state);
        self.news.send_replace(None);
    }

    /// All connections end, with this said before.
    pub fn cut(&self, goodbye: &'static str) {
        self.news.send_replace(Some(goodbye));
    }

    /// What was said that begins so, and when.
    pub fn said(&self, begin: &str) -> Vec<f64> {
        let state = self.state();
        state.said.iter().filter(|(_, line)| line.starts_with(begin)).map(|(at, _)| *at).collect()
    }

    /// The texts of the mails in a folder, without those that are marked as deleted.
    pub fn left(&self, folder: &str) -> Vec<String> {
        let mut state = self.state();
        let mails = &state.folder(folder).unwrap().mails;
        mails.iter().filter(|mail| !mail.flags.contains("Deleted")).map(|mail| mail.text.clone()).collect()
    }
}

/// One connection.
struct Desk {
    office: Office,
    number: u32,
    /// The folder that is open, and how many mails of it the client knows.
    selected: Option<(String, usize)>,
    idle: Option<String>,
}

impl Desk {
    /// Notes what is said; what goes wrong instead of the answer.
    fn hear(&self, line: &str) -> Option<&'static str> {
        let (at, mut state) = (self.office.begun.elapsed().as_secs_f64(), self.office.state());
        state.said.push((at, line.to_owned()));
        (state.trouble)(line, self.number)
    }

    async fn imap(&mut self, stream: TcpStream) {
        let mut news = self.office.news.subscribe();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n").await.unwrap();
        loop {
            let answer = tokio::select! {
                line = lines.next_line() => {
                    let Ok(Some(line)) = line else { return };
                    let (tag, command) = if line == "DONE" { ("", "DONE") } else { line.split_once(' ').unwrap() };
                    match self.hear(command) {
                        None => self.answer(tag, command),
                        Some(words) => format!("{}\r\n", words.replace("TAG", tag)),
                    }
                }
                _ = news.changed() => {
                    let cut = *news.borrow_and_update();
                    match cut {
                        Some(goodbye) => {
                            write.write_all(goodbye.as_bytes()).await.ok();
                            return;
                        }
                        None if self.idle.is_some() => self.news(),
                        None => continue,
                    }
                }
            };
            if write.write_all(answer.as_bytes()).await.is_err() || answer.starts_with("* BYE") {
                return;
            }
        }
    }

    /// Tells what came.
    fn news(&mut self) -> String {
        let Some((name, known)) = &mut self.selected else { return String::new() };
        let count = self.office.state().folder(name).unwrap().mails.len();
        if count <= *known {
            return String::new();
        }
        *known = count;
        format!("* {count} EXISTS\r\n")
    }

    fn answer(&mut self, tag: &str, command: &str) -> String {
        let words: Vec<_> = command.split(' ').collect();
        let data = match words[..] {
            ["IDLE"] => {
                self.idle = Some(tag.to_owned());
                return format!("+ idling\r\n{}", self.news());
            }
            ["DONE"] => return format!("{}{} OK done\r\n", self.news(), self.idle.take().unwrap()),
            ["AUTHENTICATE", ..] => {
                return format!("{tag} OK [CAPABILITY {}] in\r\n", self.office.state().capabilities);
            }
            ["LIST", ..] => "* LIST () \"/\" INBOX\r\n* LIST (\\Junk) \"/\" Spam\r\n".to_owned(),
            ["SELECT" | "EXAMINE", name] => self.select(name.trim_matches('"')),
            ["LOGOUT"] => return format!("* BYE\r\n{tag} OK bye\r\n"),
            ["NOOP"] => String::new(),
            ["UID", "FETCH", set, ..] => self.fetch(&self.by_uid(set), command),
            ["FETCH", set, ..] => {
                let (from, to) = set.split_once(':').unwrap();
                let places: Vec<usize> = (from.parse().unwrap()..=to.parse().unwrap()).collect();
                self.fetch(&places, command)
            }
            ["UID", "SEARCH", "UNDELETED", "HEADER", "X-Mailverity-Run", value] => self.search(value.trim_matches('"'), false),
            ["UID", "SEARCH", "HEADER", "X-Mailverity-Run", value] => self.search(value.trim_matches('"'), true),
            ["UID", "STORE", set, ..] => {
                for place in self.by_uid(set) {
                    self.mail(place, |mail| mail.flags.push_str(words[4]));
                }
                String::new()
            }
            ["UID", "EXPUNGE", set] => self.expunge(set),
            _ => return format!("{tag} BAD {command}\r\n"),
        };
        format!("{data}{}{tag} OK done\r\n", self.news())
    }

    fn select(&mut self, name: &str) -> String {
        let mut state = self.office.state();
        let folder = state.folder(name).unwrap();
        self.selected = Some((name.to_owned(), folder.mails.len()));
        let Folder { validity, next, mails, .. } = folder;
        format!("* {} EXISTS\r\n* OK [UIDVALIDITY {validity}]\r\n* OK [UIDNEXT {next}]\r\n", mails.len())
    }

    fn mail<T>(&self, place: usize, with: impl FnOnce(&mut Mail) -> T) -> T {
        let mut state = self.office.state();
        with(&mut state.folder(&self.selected.as_ref().unwrap().0).unwrap().mails[place - 1])
    }

    /// The places of the mails that the client knows, by their UIDs; `7:*` has the last one at least.
    fn by_uid(&self, set: &str) -> Vec<usize> {
        let (name, known) = self.selected.as_ref().unwrap();
        let mut state = self.office.state();
        let mails = state.folder(name).unwrap().mails.iter().take(*known).enumerate();
        let places = mails.filter(|(at, mail)| match set.split_once(":*") {
            Some((from, _)) => mail.uid >= from.parse().unwrap() || at + 1 == *known,
            None => set.split(',').any(|uid| uid.parse() == Ok(mail.uid)),
        });
        places.map(|(at, _)| at + 1).collect()
    }

    fn fetch(&self, places: &[usize], command: &str) -> String {
        let mut out = String::new();
        for place in places {
            self.mail(*place, |Mail { uid, text, .. }| {
                let head = &text[..text.find("\r\n\r\n").unwrap() + 4];
                let (name, part) = if command.contains("HEADER.FIELDS") {
                    ("BODY[HEADER.FIELDS (SUBJECT)]", head)
                } else {
                    ("BODY[]", &text[..])
                };
                write!(out, "* {place} FETCH (UID {uid} {name}<0> {{{}}}\r\n{part})\r\n", part.len()).unwrap();
            });
        }
        out
    }

    fn search(&self, value: &str, marked: bool) -> String {
        let (name, known) = self.selected.as_ref().unwrap();
        let mut state = self.office.state();
        let mails = state.folder(name).unwrap().mails.iter().take(*known);
        let wanted = |mail: &&Mail| marked || !mail.flags.contains("Deleted");
        let found = mails.filter(|mail| wanted(mail) && mail.text.contains(&format!("X-Mailverity-Run: {value}")));
        format!("* SEARCH {}\r\n", found.map(|mail| mail.uid.to_string()).collect::<Vec<_>>().join(" "))
    }

    fn expunge(&mut self, set: &str) -> String {
        let mut out = String::new();
        for place in self.by_uid(set).into_iter().rev() {
            let (name, known) = self.selected.as_mut().unwrap();
            let mut state = self.office.state();
            let mails = &mut state.folder(name).unwrap().mails;
            if mails[place - 1].flags.contains("Deleted") {
                mails.remove(place - 1);
                *known -= 1;
                write!(out, "* {place} EXPUNGE\r\n").unwrap();
            }
        }
        out
    }

    async fn pop3(&mut self, stream: TcpStream) {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"+OK ready\r\n").await.unwrap();
        let (mut shown, mut gone): (Vec<String>, Vec<usize>) = (Vec::new(), Vec::new());
        while let Ok(Some(line)) = lines.next_line().await {
            let words: Vec<_> = line.split(' ').collect();
            let answer = match (self.hear(&line), &words[..]) {
                (Some(words), _) => format!("{words}\r\n"),
                (_, ["CAPA"]) => "+OK\r\nSASL PLAIN\r\nTOP\r\n.\r\n".to_owned(),
                (_, ["AUTH", ..]) => {
                    shown = self.office.left("INBOX");
                    "+OK\r\n".to_owned()
                }
                (_, ["STAT"]) => format!("+OK {} 1\r\n", shown.len()),
                (_, ["TOP", number, lines]) => {
                    let text = &shown[number.parse::<usize>().unwrap() - 1];
                    let head = text.find("\r\n\r\n").unwrap() + 4;
                    let body: String = text[head..].split_inclusive("\r\n").take(lines.parse().unwrap()).collect();
                    format!("+OK\r\n{}{body}.\r\n", &text[..head])
                }
                (_, ["DELE", number]) => {
                    gone.push(number.parse().unwrap());
                    "+OK\r\n".to_owned()
                }
                (_, ["QUIT"]) => {
                    let mut state = self.office.state();
                    let mails = &mut state.folder("INBOX").unwrap().mails;
                    mails.retain(|mail| !gone.iter().any(|number| shown[number - 1] == mail.text));
                    "+OK bye\r\n".to_owned()
                }
                _ => "-ERR what?\r\n".to_owned(),
            };
            if write.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
