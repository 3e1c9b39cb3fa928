//! Microsoft Graph v1.0, as far as a mailbox is read by it. Shapes:
//! <https://learn.microsoft.com/en-us/graph/api/user-list-messages> (filter, orderby, select, top and their rules),
//! <https://learn.microsoft.com/en-us/graph/api/resources/message>, <https://learn.microsoft.com/en-us/graph/api/mailfolder-get>,
//! <https://learn.microsoft.com/en-us/graph/api/mailfolder-list-childfolders>, <https://learn.microsoft.com/en-us/graph/paging>,
//! <https://learn.microsoft.com/en-us/graph/api/message-delete>, <https://learn.microsoft.com/en-us/graph/api/message-update>,
//! <https://learn.microsoft.com/en-us/graph/outlook-get-mime-message>; errors <https://learn.microsoft.com/en-us/graph/errors>.

use std::sync::atomic::Ordering::SeqCst;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answer, Behind, Request, letters::Letter};

/// An error in Graph's form.
pub fn error(status: u16, code: &str, message: &str) -> Answer {
    let inner = json!({"date": "2026-01-02T03:04:05", "request-id": uuid::Uuid::new_v4().to_string()});
    Answer::json(status, &json!({"error": {"code": code, "message": message, "innerError": inner}}))
}

const FOLDERS: [(&str, &str, &str); 3] =
    [("inbox", "Inbox", "INBOX"), ("junkemail", "Junk Email", "SPAM"), ("deleteditems", "Deleted Items", "TRASH")];

pub fn answer(behind: &Behind, request: &Request) -> Answer {
    if behind.granted(request).is_none() {
        return error(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.");
    }
    if request.header("prefer").is_none_or(|prefer| !prefer.contains("IdType=\"ImmutableId\"")) {
        return error(400, "ErrorInvalidRequest", "the test wants immutable ids");
    }
    let parts: Vec<&str> = request.path.trim_start_matches("/v1.0/").split('/').collect();
    let ["users", user, rest @ ..] = parts.as_slice() else {
        return error(400, "BadRequest", "Resource not found for the segment.");
    };
    let Some(letters) = behind.letters.of(user) else {
        return error(404, "ErrorInvalidUser", &format!("The requested user '{user}' is invalid."));
    };
    match (request.method.as_str(), rest) {
        ("GET", ["mailFolders"]) => Answer::json(200, &named(request, &letters)),
        ("GET", ["mailFolders", _, "childFolders"]) => Answer::json(200, &json!({"value": []})),
        ("GET", ["mailFolders", folder]) => match find(folder) {
            Some(found) => Answer::json(200, &folder_of(found, &letters)),
            None => error(404, "ErrorItemNotFound", "The specified object was not found in the store."),
        },
        ("GET", ["mailFolders", folder, "messages"]) => match find(folder) {
            Some((_, _, label)) => list(behind, request, letters.into_iter().filter(|letter| letter.folder == label).collect()),
            None => error(404, "ErrorItemNotFound", "The specified object was not found in the store."),
        },
        (method, ["messages", id, rest @ ..]) => one(behind, method, user, id, rest, &letters),
        _ => error(400, "BadRequest", "Resource not found for the segment."),
    }
}

fn id(plain: &str) -> String {
    format!("AAkALg{plain}==")
}

fn find(folder: &str) -> Option<(&'static str, &'static str, &'static str)> {
    FOLDERS.into_iter().find(|(well_known, _, _)| folder.eq_ignore_ascii_case(well_known) || folder == id(well_known))
}

fn folder_of((well_known, name, label): (&str, &str, &str), letters: &[Letter]) -> Value {
    let total = letters.iter().filter(|letter| letter.folder == label).count();
    json!({"id": id(well_known), "displayName": name, "totalItemCount": total})
}

/// `$filter=displayName eq '…'`.
fn named(request: &Request, letters: &[Letter]) -> Value {
    let wanted = request.ask("$filter").and_then(|filter| filter.strip_prefix("displayName eq '")?.strip_suffix('\''));
    let found = FOLDERS.into_iter().filter(|(_, name, _)| wanted.is_none_or(|wanted| wanted.replace("''", "'") == *name));
    json!({"value": found.map(|folder| folder_of(folder, letters)).collect::<Vec<_>>()})
}

fn list(behind: &Behind, request: &Request, mut letters: Vec<Letter>) -> Answer {
    if request.ask("$orderby").is_some_and(|order| order != "receivedDateTime desc") {
        return error(400, "ErrorInvalidUrlQuery", "the test knows no other order");
    }
    if let Some(filter) = request.ask("$filter") {
        let since: Option<Timestamp> = filter.strip_prefix("receivedDateTime ge ").and_then(|since| since.parse().ok());
        let Some(since) = since else { return error(400, "ErrorInvalidUrlQueryFilter", "The filter cannot be read.") };
        letters.retain(|letter| letter.at >= since.as_second());
    }
    let number = |name: &str, usual: usize| request.ask(name).map_or(usual, |value| value.parse().unwrap());
    let (top, skip) = (number("$top", 10).min(behind.page.load(SeqCst)), number("$skip", 0));
    if behind.is_late() {
        letters.clear();
    }
    let select: Vec<&str> = request.ask("$select").unwrap_or_default().split(',').collect();
    let page: Vec<Value> = letters.iter().skip(skip).take(top).map(|letter| message(letter, &select)).collect();
    let mut body = json!({"value": page});
    if skip + top < letters.len() {
        let rest: Vec<String> = request
            .query
            .iter()
            .filter(|(name, _)| name != "$skip")
            .map(|(name, value)| format!("{name}={}", value.replace(' ', "%20")))
            .collect();
        let path = request.path.replace('@', "%40").replace('=', "%3D");
        body["@odata.nextLink"] =
            json!(format!("https://localhost:{}{path}?{}&$skip={}", behind.port, rest.join("&"), skip + top));
    }
    Answer::json(200, &body)
}

/// The header is given only where it is selected.
fn message(letter: &Letter, select: &[&str]) -> Value {
    let fields = letter.fields();
    let subject = fields.iter().find(|(name, _)| name == "Subject").map(|(_, value)| value.as_str());
    let all: Vec<Value> = fields.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let received = Timestamp::from_second(letter.at).unwrap().to_string();
    let whole = json!({"id": id(&letter.id), "subject": subject, "receivedDateTime": received, "isRead": letter.seen,
        "internetMessageHeaders": all});
    let mut shown = json!({"@odata.etag": "W/\"1\"", "id": id(&letter.id)});
    for name in select {
        shown[name] = whole[name].clone();
    }
    shown
}

fn one(behind: &Behind, method: &str, user: &str, wanted: &str, rest: &[&str], letters: &[Letter]) -> Answer {
    let Some(letter) = letters.iter().find(|letter| id(&letter.id) == wanted) else {
        return error(404, "ErrorItemNotFound", "The specified object was not found in the store.");
    };
    match (method, rest) {
        ("GET", ["$value"]) => Answer::raw("text/plain", letter.text.clone()),
        ("DELETE", []) => {
            behind.letters.moves(user, &letter.id, None);
            Answer::empty(204)
        }
        ("PATCH", []) => {
            behind.letters.marks_seen(user, &letter.id);
            Answer::json(200, &message(letter, &["id", "isRead"]))
        }
        _ => error(405, "ErrorInvalidRequest", "method not allowed"),
    }
}
