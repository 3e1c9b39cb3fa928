//! The Gmail API v1, as far as a mailbox is read by it. Shapes:
//! <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users/getProfile>,
//! <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.labels>,
//! <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/list> (q, labelIds, maxResults, scopes),
//! <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/get>,
//! <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/trash>,
//! <https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/modify>; errors
//! <https://developers.google.com/workspace/gmail/api/guides/handle-errors>.

use std::sync::atomic::Ordering::SeqCst;

use base64::{Engine, engine::general_purpose::URL_SAFE};
use serde_json::{Value, json};

use super::{Answer, Behind, Request, letters::Letter};

/// An error in Google's form.
pub fn error(status: u16, reason: &str, name: &str, message: &str) -> Answer {
    let errors = json!([{"domain": "global", "reason": reason, "message": message}]);
    Answer::json(status, &json!({"error": {"code": status, "message": message, "errors": errors, "status": name}}))
}

const MODIFY: [&str; 2] = ["https://mail.google.com/", "https://www.googleapis.com/auth/gmail.modify"];
const METADATA: &str = "https://www.googleapis.com/auth/gmail.metadata";
const READ: &str = "https://www.googleapis.com/auth/gmail.readonly";

pub fn answer(behind: &Behind, request: &Request) -> Answer {
    let Some(granted) = behind.granted(request) else {
        return error(401, "authError", "UNAUTHENTICATED", "Invalid Credentials");
    };
    let parts: Vec<&str> = request.path.trim_start_matches("/gmail/v1/").split('/').collect();
    let ["users", "me", rest @ ..] = parts.as_slice() else { return error(404, "notFound", "NOT_FOUND", "Not Found") };
    let user = granted.subject.as_str();
    let Some(letters) = behind.letters.of(user) else {
        return error(400, "failedPrecondition", "FAILED_PRECONDITION", "Mail service not enabled");
    };
    let may = |scopes: &[&str]| granted.scope.split(' ').any(|scope| scopes.contains(&scope));
    let narrow = || error(403, "insufficientPermissions", "PERMISSION_DENIED", "Request had insufficient authentication scopes.");
    if !may(&[MODIFY[0], MODIFY[1], READ, METADATA]) {
        return narrow();
    }
    match (request.method.as_str(), rest) {
        ("GET", ["profile"]) => {
            Answer::json(200, &json!({"emailAddress": user, "messagesTotal": letters.len(), "historyId": "1"}))
        }
        ("GET", ["labels"]) => {
            let labels = ["INBOX", "SPAM", "TRASH"].map(|id| json!({"id": id, "name": id, "type": "system"}));
            Answer::json(200, &json!({ "labels": labels }))
        }
        ("GET", ["labels", id @ ("INBOX" | "SPAM" | "TRASH")]) => {
            let total = letters.iter().filter(|letter| letter.folder == *id).count();
            Answer::json(200, &json!({"id": id, "name": id, "type": "system", "messagesTotal": total}))
        }
        ("GET", ["messages"]) if request.ask("q").is_some() && !may(&[MODIFY[0], MODIFY[1], READ]) => {
            error(403, "forbidden", "PERMISSION_DENIED", "Metadata scope does not support 'q' parameter")
        }
        ("GET", ["messages"]) => list(behind, request, &letters),
        (method, ["messages", id, rest @ ..]) => {
            let Some(letter) = letters.iter().find(|letter| letter.id == *id) else {
                return error(404, "notFound", "NOT_FOUND", "Requested entity was not found.");
            };
            match (method, rest) {
                ("GET", []) => get(request, letter),
                ("POST", ["trash" | "modify"]) if !may(&MODIFY) => narrow(),
                ("POST", ["trash"]) => {
                    behind.letters.moves(user, id, Some("TRASH"));
                    Answer::json(200, &json!({"id": id}))
                }
                ("POST", ["modify"]) if request.body == r#"{"removeLabelIds":["UNREAD"]}"# => {
                    behind.letters.marks_seen(user, id);
                    Answer::json(200, &json!({"id": id}))
                }
                _ => error(400, "badRequest", "INVALID_ARGUMENT", "the test knows no such request"),
            }
        }
        _ => error(404, "notFound", "NOT_FOUND", "Requested entity was not found."),
    }
}

/// Ids alone; what lies in SPAM and TRASH only where that is asked for.
fn list(behind: &Behind, request: &Request, letters: &[Letter]) -> Answer {
    let after = match request.ask("q") {
        Some(q) => q.strip_prefix("after:").unwrap().parse().unwrap(),
        None => i64::MIN,
    };
    let label = request.ask("labelIds").unwrap_or_default();
    let hidden = request.ask("includeSpamTrash") != Some("true") && ["SPAM", "TRASH"].contains(&label);
    let fit = letters.iter().filter(|letter| letter.folder == label && letter.at > after && !hidden);
    let mut ids: Vec<Value> = fit.map(|letter| json!({"id": letter.id})).collect();
    if behind.is_late() {
        ids.clear();
    }
    let most = request.ask("maxResults").map_or(100, |value| value.parse().unwrap()).min(500).min(behind.page.load(SeqCst));
    let skip: usize = request.ask("pageToken").map_or(0, |token| token.parse().unwrap());
    let mut body = json!({"resultSizeEstimate": ids.len()});
    if skip + most < ids.len() {
        body["nextPageToken"] = json!((skip + most).to_string());
    }
    let page: Vec<Value> = ids.into_iter().skip(skip).take(most).collect();
    if !page.is_empty() {
        body["messages"] = json!(page);
    }
    Answer::json(200, &body)
}

/// In the format metadata the fields that are named, in raw the mail in the URL-safe alphabet.
fn get(request: &Request, letter: &Letter) -> Answer {
    match request.ask("format") {
        Some("raw") => Answer::json(200, &json!({"raw": URL_SAFE.encode(&letter.text)})),
        Some("metadata") => {
            let named: Vec<&str> =
                request.query.iter().filter(|(name, _)| name == "metadataHeaders").map(|(_, value)| value.as_str()).collect();
            let fields = letter.fields().into_iter();
            let shown = fields.filter(|(name, _)| named.iter().any(|named| named.eq_ignore_ascii_case(name)));
            let headers: Vec<Value> = shown.map(|(name, value)| json!({"name": name, "value": value})).collect();
            Answer::json(200, &json!({"id": letter.id, "labelIds": [letter.folder], "payload": {"headers": headers}}))
        }
        _ => error(400, "badRequest", "INVALID_ARGUMENT", "the test knows no such format"),
    }
}
