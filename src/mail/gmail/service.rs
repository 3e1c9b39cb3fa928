//! What is asked of the Gmail API: a list of ids, then the header of each that was not seen before.
//!
//! Our mail is not asked for by its Message-ID (`rfc822msgid:`), though that would bring it alone. What came since has to be listed in
//! any case, as a report that the mail came back is among it (promise 6): the search would be a second request of the same 5 units at
//! each look, and saves 5 once for each mail of others that comes meanwhile. And it finds less: relays that write a Message-ID of
//! their own leave subject and header as they are, a person's mail (mode Manual) has an id that nobody knows, and an answer to a probe
//! has its sender's.

use std::{collections::HashMap, fmt::Write as _};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use futures::future::{BoxFuture, FutureExt};
use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;

use crate::mail::{
    Diagnosis,
    bounce::MOST,
    diagnosis::printable,
    https::{Ask, Bound},
    mailbox::Cleanup,
    oauth2::encoded,
    rest::{Client, FIELDS, Folder, Header, Kind, Listed, Refusal, Service, Take},
};

/// The mailbox of whom the token is for.
const ROOT: &str = "/gmail/v1/users/me";
/// The ids of one page.
const PAGE: usize = 100;
/// The longest id that is believed. Gmail's have 16 characters.
const ID: usize = 128;
/// With more octets of headers than this, those that are not listed any more are forgotten. A mail's header does not change, and
/// each costs a request.
const KEPT: usize = 2 * 1024 * 1024;
/// Base64 of which only the start is there.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// A mailbox over the Gmail API.
pub struct Gmail {
    client: Client,
    headers: HashMap<String, Vec<u8>>,
}

/// Source: <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/getProfile>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[serde(rename = "emailAddress")]
    _address: String,
}

/// Source: <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.labels#Label>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Label {
    id: String,
    name: String,
    messages_total: Option<u32>,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    labels: Vec<Label>,
}

/// Source: <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/list>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    /// Absent where there are none.
    #[serde(default)]
    messages: Vec<Id>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

/// Source: <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages#Message>
#[derive(Deserialize)]
struct Message {
    payload: Option<Payload>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    headers: Header,
}

impl From<Label> for Folder {
    fn from(label: Label) -> Self {
        Self { id: label.id, name: printable(&label.name, 253), messages: label.messages_total.unwrap_or_default() }
    }
}

impl Gmail {
    /// The mailbox of whom the client's token is for.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, headers: HashMap::new() }
    }

    /// A label by the id that every mailbox has; none where it has not.
    async fn label(&mut self, id: &str) -> Result<Option<Folder>, Diagnosis> {
        let path = format!("{ROOT}/labels/{}?fields=id,name,messagesTotal", encoded(id));
        match self.client.get::<Label>(&path, None).await {
            Ok(label) if is_id(&label.id) => Ok(Some(label.into())),
            Ok(_) => Err(self.client.lies("a label has no id that can be used")),
            Err(refusal) => refusal.gone(),
        }
    }

    /// The header of one mail; none where it is not there any more, or not yet.
    async fn header(&mut self, id: &str) -> Result<Option<Vec<u8>>, Diagnosis> {
        if let Some(known) = self.headers.get(id) {
            return Ok(Some(known.clone()));
        }
        let mut path = format!("{ROOT}/messages/{id}?format=metadata&fields=payload/headers");
        for field in FIELDS {
            path = path + "&metadataHeaders=" + field;
        }
        let message: Message = match self.client.get(&path, None).await {
            Ok(message) => message,
            Err(refusal) => return refusal.gone(),
        };
        let header = message.payload.map(|payload| payload.headers).unwrap_or_default().with(None);
        self.headers.insert(id.to_owned(), header.clone());
        Ok(Some(header))
    }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The mail in `{"raw": "…"}`, of which the end may be missing.
fn raw(answer: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(answer).ok()?;
    let behind = text.split_once("\"raw\"")?.1.split_once('"')?.1;
    let encoded = behind.split('"').next()?.trim_end_matches('=');
    // Of a group that was cut there is nothing to be had.
    let whole = if encoded.len() < behind.len() { encoded.len() } else { encoded.len() / 4 * 4 };
    BASE64.decode(encoded.get(..whole)?).ok()
}

impl Service for Gmail {
    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn greet(&mut self) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            let path = format!("{ROOT}/profile?fields=emailAddress");
            self.client.get::<Profile>(&path, None).await.map(drop)
        }
        .boxed()
    }

    fn calls_it(&self) -> &'static str {
        "label"
    }

    fn named<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, Result<Option<Folder>, Diagnosis>> {
        async move {
            if ["INBOX", "SPAM"].iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return self.label(&name.to_ascii_uppercase()).await;
            }
            let labels: Labels = self.client.get(&format!("{ROOT}/labels?fields=labels(id,name)"), None).await?;
            match labels.labels.into_iter().find(|label| label.name.eq_ignore_ascii_case(name)) {
                Some(label) => self.label(&label.id).await,
                None => Ok(None),
            }
        }
        .boxed()
    }

    fn junk(&mut self) -> BoxFuture<'_, Result<Option<Folder>, Diagnosis>> {
        self.label("SPAM").boxed()
    }

    fn pass<'a>(
        &'a mut self,
        folder: &'a Folder,
        since: Option<Timestamp>,
        most: usize,
        take: Take<'a>,
    ) -> BoxFuture<'a, Result<(), Diagnosis>> {
        async move {
            let mut query = format!("{ROOT}/messages?labelIds={}&maxResults={}", encoded(&folder.id), PAGE.min(most));
            if folder.id == "SPAM" {
                query += "&includeSpamTrash=true";
            }
            // A day would be one of California's, a number of seconds is exact:
            // <https://developers.google.com/workspace/gmail/api/guides/filtering>
            if let Some(since) = since {
                // Writing to a String cannot fail.
                let _ = write!(query, "&q={}", encoded(&format!("after:{}", since.as_second())));
            }
            query += "&fields=messages/id,nextPageToken";
            let (mut ids, mut path) = (Vec::new(), query.clone());
            // A page may be shorter than it should be, and is not to be empty for ever.
            for _ in 0..(most / PAGE + 2) * 2 {
                let page: Page = self.client.get(&path, None).await?;
                ids.extend(page.messages.into_iter().map(|message| message.id).filter(|id| is_id(id)));
                let Some(token) = page.next_page_token.filter(|_| ids.len() < most) else { break };
                path = format!("{query}&pageToken={}", encoded(&token));
            }
            ids.truncate(most);
            if self.headers.values().map(Vec::len).sum::<usize>() > KEPT {
                self.headers.retain(|id, _| ids.contains(id));
            }
            for id in ids {
                if let Some(header) = self.header(&id).await? {
                    take(Listed { id, header });
                }
            }
            Ok(())
        }
        .boxed()
    }

    /// Source: <https://developers.google.com/workspace/gmail/api/reference/rest/v1/Format>
    fn start_of<'a>(&'a mut self, id: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Diagnosis>> {
        async move {
            let path = format!("{ROOT}/messages/{}?format=raw&fields=raw", encoded(id));
            // Four characters stand for three octets.
            let bound = Bound::Start(MOST / 3 * 4);
            let ask = Ask { method: Method::GET, path: &path, prefer: None, json: None, bound };
            match self.client.ask(&ask).await {
                Ok(answer) => Ok(Some(raw(&answer.body).ok_or_else(|| self.client.broke(&answer, "without the mail in it"))?)),
                Err(refusal) => refusal.gone(),
            }
        }
        .boxed()
    }

    /// Into the trash, where the user finds it for 30 days (promise 11); to delete it for good would take a scope that lets
    /// do anything. Sources: <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/trash>,
    /// <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/modify>
    fn clean<'a>(&'a mut self, id: &'a str, how: Cleanup) -> BoxFuture<'a, Result<bool, Diagnosis>> {
        async move {
            let (what, json) = match how {
                Cleanup::Delete => ("trash", None),
                Cleanup::MarkSeen => ("modify", Some(r#"{"removeLabelIds":["UNREAD"]}"#)),
                Cleanup::Keep => return Ok(false),
            };
            let path = format!("{ROOT}/messages/{}/{what}?fields=id", encoded(id));
            let bound = Bound::Whole(crate::mail::rest::PAGE);
            match self.client.ask(&Ask { method: Method::POST, path: &path, prefer: None, json, bound }).await {
                Ok(_) => Ok(true),
                Err(refusal) if refusal.kind == Kind::Gone => Ok(false),
                Err(refusal) => Err(refusal.diagnosis),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_read_as_far_as_it_came() {
        for (answer, mail) in [
            (r#"{"raw":"U3ViamVjdDogYQ=="}"#, "Subject: a"),
            (r#"{ "raw" : "U3ViamVjdDogYQ" }"#, "Subject: a"),
            (r#"{"raw":"U3ViamVjdDogY"#, "Subject: "),
            (r#"{"raw":""}"#, ""),
        ] {
            assert_eq!(raw(answer.as_bytes()).as_deref(), Some(mail.as_bytes()), "{answer}");
        }
        for bad in ["", "{}", r#"{"raw":"?? "}"#, r#"{"raw":7}"#] {
            assert_eq!(raw(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn no_id_leads_elsewhere() {
        assert!(is_id("18c2f0a7b3d4e5f6") && is_id("Label_12-3"));
        for bad in ["", "../x", "a/b", "a?b", "a b", &"x".repeat(ID + 1)] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
