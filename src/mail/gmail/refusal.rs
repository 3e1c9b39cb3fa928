//! What the Gmail API's errors mean, and what an administrator has to do.
//!
//! Sources: <https://developers.google.com/workspace/gmail/api/guides/handle-errors>; the form,
//! <https://cloud.google.com/apis/design/errors>; "Precondition check failed", which is what a service account hears that acts for
//! nobody, <https://github.com/googleapis/google-api-nodejs-client/issues/2322>.

use crate::{
    api::Reason,
    mail::rest::{Kind, Said, Verdict},
};

const SCOPE: &str = "The token has too narrow a scope: grant gmail.modify (gmail.readonly does for cleanup Keep; gmail.metadata never \
                     does, as it lets nobody ask by time), for a service account in the Admin console under domain-wide delegation";
const ENABLE: &str = "Enable the Gmail API in the Google Cloud project of the application; it takes some minutes to be in force";
const MAILBOX: &str = "Turn on Gmail for this user in the Admin console, or assign a licence that has it";
const NOBODY: &str = "A service account has no mailbox of its own: set gmail.subject to the user whose mailbox it reads, and delegate \
                      that to it domain-wide";
const DELEGATE: &str = "The account of the token may not act for this user: delegate that to the service account domain-wide";
const POLICY: &str = "The administrators of the domain do not let applications read Gmail: trust the application in the Admin console \
                      under API controls";

/// What a refusal means.
#[must_use]
pub fn judge(said: &Said<'_>) -> Verdict {
    use Kind::{Gone, Later, No, Token};
    use Reason::{AuthenticationFailed, MailboxAccessDenied, MailboxNotFound, ProtocolError, RateLimited, ServerBusy};
    let is = |names: &[&str]| said.is_one_of(names);
    let rates = ["rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "dailyLimitExceeded"];
    if said.status == 401 || is(&["authError", "UNAUTHENTICATED"]) {
        return Verdict::new(Token, AuthenticationFailed, "");
    }
    if said.status == 429 || is(&rates) {
        return Verdict::new(Later, RateLimited, "");
    }
    if said.words.contains("Mail service not enabled") {
        return Verdict::new(No, MailboxNotFound, MAILBOX);
    }
    if is(&["failedPrecondition", "FAILED_PRECONDITION"]) {
        return Verdict::new(No, MailboxNotFound, NOBODY);
    }
    if is(&["accessNotConfigured", "SERVICE_DISABLED"]) {
        return Verdict::new(No, MailboxAccessDenied, ENABLE);
    }
    if said.words.contains("Delegation denied") {
        return Verdict::new(No, MailboxAccessDenied, DELEGATE);
    }
    if is(&["domainPolicy"]) {
        return Verdict::new(No, MailboxAccessDenied, POLICY);
    }
    let narrow = is(&["insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"]) || said.words.contains("Metadata scope");
    if said.status == 403 || is(&["PERMISSION_DENIED"]) {
        return Verdict::new(No, MailboxAccessDenied, if narrow { SCOPE } else { "" });
    }
    if said.status == 404 || is(&["notFound", "NOT_FOUND"]) {
        return Verdict::new(Gone, MailboxNotFound, "");
    }
    if said.status >= 500 || is(&["backendError"]) {
        return Verdict::new(Later, ServerBusy, "");
    }
    Verdict::new(No, ProtocolError, "")
}

#[cfg(test)]
mod tests {
    use Kind::{Gone, Later, No, Token};
    use Reason::{AuthenticationFailed, MailboxAccessDenied, MailboxNotFound, ProtocolError, RateLimited, ServerBusy};

    use super::*;

    #[test]
    fn each_refusal_has_its_meaning() {
        for (status, name, words, kind, reason, cure) in [
            (401, "authError", "Invalid Credentials", Token, AuthenticationFailed, ""),
            (403, "insufficientPermissions", "Insufficient Permission", No, MailboxAccessDenied, SCOPE),
            (403, "forbidden", "Metadata scope does not support 'q' parameter", No, MailboxAccessDenied, SCOPE),
            (403, "accessNotConfigured", "Gmail API has not been used", No, MailboxAccessDenied, ENABLE),
            (403, "forbidden", "Delegation denied for a@b", No, MailboxAccessDenied, DELEGATE),
            (403, "domainPolicy", "", No, MailboxAccessDenied, POLICY),
            (403, "forbidden", "", No, MailboxAccessDenied, ""),
            (400, "failedPrecondition", "Mail service not enabled", No, MailboxNotFound, MAILBOX),
            (400, "failedPrecondition", "Precondition check failed.", No, MailboxNotFound, NOBODY),
            (403, "rateLimitExceeded", "", Later, RateLimited, ""),
            (403, "userRateLimitExceeded", "", Later, RateLimited, ""),
            (429, "", "", Later, RateLimited, ""),
            (500, "backendError", "", Later, ServerBusy, ""),
            (503, "", "", Later, ServerBusy, ""),
            (404, "notFound", "Requested entity was not found.", Gone, MailboxNotFound, ""),
            (400, "badRequest", "", No, ProtocolError, ""),
        ] {
            let names = [name.to_owned()];
            let verdict = judge(&Said { status, names: &names, words });
            assert_eq!((verdict.kind, verdict.reason, verdict.cure.as_str()), (kind, reason, cure), "{status} {name}");
        }
    }
}
