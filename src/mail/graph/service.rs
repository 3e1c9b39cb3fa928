//! What is asked of Graph. Ids are immutable ones, which a mail keeps where somebody moves it:
//! <https://learn.microsoft.com/en-us/graph/outlook-immutable-id>

use std::fmt::Write as _;

use futures::future::{BoxFuture, FutureExt};
use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;

use crate::mail::{
    Diagnosis,
    bounce::MOST,
    https::{Ask, Bound, Url},
    mailbox::Cleanup,
    oauth2::encoded,
    rest::{Client, Folder, Header, Listed, Refusal, Service, Take},
};

/// The ids that are wanted, and no more of a message that was changed than need be.
const PREFER: &str = r#"IdType="ImmutableId", return=minimal"#;
/// The messages of one page. Each may have a header of many kilobytes, of which little is kept.
const PAGE: usize = 25;
/// The fields of a folder that count.
const FOLDER: &str = "$select=id,displayName,totalItemCount";
/// The fields of a message that count; the header is given where it is named alone.
/// Source: <https://learn.microsoft.com/en-us/graph/api/resources/message#properties>
const MESSAGE: &str = "$select=id,subject,internetMessageHeaders";
/// The longest id that is believed. Graph's have about 150 characters.
const ID: usize = 1024;

/// A mailbox over Graph.
pub struct Graph {
    client: Client,
    /// The path of the mailbox.
    root: String,
    inbox: Option<Folder>,
}

/// A folder: <https://learn.microsoft.com/en-us/graph/api/mailfolder-get>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MailFolder {
    id: String,
    display_name: Option<String>,
    total_item_count: Option<u32>,
}

/// A page of a list: <https://learn.microsoft.com/en-us/graph/paging>
#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

/// A message: <https://learn.microsoft.com/en-us/graph/api/user-list-messages>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    id: String,
    subject: Option<String>,
    internet_message_headers: Option<Header>,
}

impl From<MailFolder> for Folder {
    fn from(folder: MailFolder) -> Self {
        let name = crate::mail::diagnosis::printable(&folder.display_name.unwrap_or_default(), 253);
        Self { id: folder.id, name, messages: folder.total_item_count.unwrap_or_default() }
    }
}

impl From<Message> for Listed {
    /// A mail that never left its organisation has no header; its subject is told apart.
    fn from(message: Message) -> Self {
        let header = message.internet_message_headers.unwrap_or_default();
        Self { id: message.id, header: header.with(message.subject.as_deref()) }
    }
}

impl Graph {
    /// The mailbox of `user`, a userPrincipalName or an object id.
    #[must_use]
    pub fn new(client: Client, user: &str) -> Self {
        Self { client, root: format!("/v1.0/users/{}", encoded(user)), inbox: None }
    }

    /// A folder by its path of names, or below another's id; none where there is none.
    async fn by_path(&mut self, path: &str) -> Result<Option<Folder>, Diagnosis> {
        if path.eq_ignore_ascii_case("INBOX") {
            return Ok(self.inbox.clone());
        }
        let mut found: Option<Folder> = None;
        for name in path.split('/') {
            let among = match &found {
                Some(parent) => format!("mailFolders/{}/childFolders", encoded(&parent.id)),
                None => "mailFolders".to_owned(),
            };
            let filter = encoded(&format!("displayName eq '{}'", name.replace('\'', "''")));
            let path = format!("{}/{among}?$filter={filter}&{FOLDER}", self.root);
            let page: Page<MailFolder> = match self.client.get(&path, Some(PREFER)).await {
                Ok(page) => page,
                Err(refusal) => return refusal.gone(),
            };
            let Some(folder) = page.value.into_iter().next() else { return Ok(None) };
            found = Some(self.fit(folder)?);
        }
        Ok(found)
    }

    /// A folder by a name that Graph knows in every language.
    async fn well_known(&mut self, name: &str) -> Result<Folder, Refusal> {
        let path = format!("{}/mailFolders/{name}?{FOLDER}", self.root);
        let folder: MailFolder = self.client.get(&path, Some(PREFER)).await?;
        Ok(self.fit(folder)?)
    }

    fn fit(&self, folder: MailFolder) -> Result<Folder, Diagnosis> {
        if is_id(&folder.id) { Ok(folder.into()) } else { Err(self.client.lies("a folder has no id that can be used")) }
    }

    /// The path behind a link to the next page; the token is shown to nobody but who gave the first.
    fn next(&self, link: &str) -> Result<String, Diagnosis> {
        let url: Url = link.parse().map_err(|_| self.client.lies("its link to the next page is no URL"))?;
        if !self.client.is_here(&url.host, url.port) {
            return Err(self.client.lies("its link to the next page leads to another host, and is not followed"));
        }
        Ok(url.path)
    }

    fn message(&self, id: &str) -> String {
        format!("{}/messages/{}", self.root, encoded(id))
    }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID && id.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Service for Graph {
    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn greet(&mut self) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            self.inbox = Some(self.well_known("inbox").await?);
            Ok(())
        }
        .boxed()
    }

    fn calls_it(&self) -> &'static str {
        "folder"
    }

    fn named<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<Option<Folder>, Diagnosis>> {
        self.by_path(name).boxed()
    }

    /// Source of the name: <https://learn.microsoft.com/en-us/graph/api/resources/mailfolder>
    fn junk(&mut self) -> BoxFuture<'_, Result<Option<Folder>, Diagnosis>> {
        async move { self.well_known("junkemail").await.map_or_else(Refusal::gone, |folder| Ok(Some(folder))) }.boxed()
    }

    fn pass<'a>(
        &'a mut self,
        folder: &'a Folder,
        since: Option<Timestamp>,
        most: usize,
        take: Take<'a>,
    ) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async move {
            let mut path = format!("{}/mailFolders/{}/messages?{MESSAGE}", self.root, encoded(&folder.id));
            // What is sorted by must be filtered by first:
            // <https://learn.microsoft.com/en-us/graph/api/user-list-messages#using-filter-and-orderby-in-the-same-query>
            if let Some(since) = since {
                let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
                // Writing to a String cannot fail.
                let _ = write!(path, "&$filter={}", encoded(&format!("receivedDateTime ge {since}")));
            }
            let _ = write!(path, "&$orderby={}&$top={PAGE}", encoded("receivedDateTime desc"));
            let mut left = most;
            // A page may be shorter than it should be, and is not to be empty for ever.
            for _ in 0..(most / PAGE + 2) * 2 {
                let page: Page<Message> = self.client.get(&path, Some(PREFER)).await?;
                for message in page.value.into_iter().filter(|message| is_id(&message.id)).take(left) {
                    left -= 1;
                    take(message.into());
                }
                let Some(next) = page.next.filter(|_| left > 0) else { break };
                path = self.next(&next)?;
            }
            Ok(())
        }
        .boxed()
    }

    /// The mail as it came: <https://learn.microsoft.com/en-us/graph/outlook-get-mime-message>
    fn start_of<'a>(&'a mut self, id: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Diagnosis>> {
        async move {
            let path = format!("{}/$value", self.message(id));
            let ask = Ask { method: Method::GET, path: &path, prefer: Some(PREFER), json: None, bound: Bound::Start(MOST) };
            match self.client.ask(&ask).await {
                Ok(answer) => Ok(Some(answer.body)),
                Err(refusal) => refusal.gone(),
            }
        }
        .boxed()
    }

    /// DELETE takes a mail away and leaves it to the mailbox's owner to recover, in every cloud: permanentDelete is in one
    /// alone, and could not be undone. Sources: <https://learn.microsoft.com/en-us/graph/api/message-delete>,
    /// <https://learn.microsoft.com/en-us/graph/api/message-permanentdelete>,
    /// <https://learn.microsoft.com/en-us/graph/api/message-update>
    fn clean<'a>(&'a mut self, id: &'a str, how: Cleanup) -> BoxFuture<'a, Result<bool, Diagnosis>> {
        async move {
            let (method, json) = match how {
                Cleanup::Delete => (Method::DELETE, None),
                Cleanup::MarkSeen => (Method::PATCH, Some(r#"{"isRead":true}"#)),
                Cleanup::Keep => return Ok(false),
            };
            let path = self.message(id);
            let bound = Bound::Whole(crate::mail::rest::PAGE);
            match self.client.ask(&Ask { method, path: &path, prefer: Some(PREFER), json, bound }).await {
                Ok(_) => Ok(true),
                Err(refusal) => refusal.gone::<()>().map(|_| false),
            }
        }
        .boxed()
    }
}
