//! What Graph's errors mean, and what an administrator has to do.
//!
//! Sources: the form, <https://learn.microsoft.com/en-us/graph/errors>; 401 and 403,
//! <https://learn.microsoft.com/en-us/graph/resolve-auth-errors>; throttling, <https://learn.microsoft.com/en-us/graph/throttling>;
//! the codes of Exchange, <https://learn.microsoft.com/en-us/exchange/client-developer/web-service-reference/responsecode>;
//! `MailboxNotEnabledForRESTAPI`,
//! <https://learn.microsoft.com/en-us/troubleshoot/exchange/user-and-shared-mailboxes/rest-api-is-not-yet-supported-for-this-mailbox-error>;
//! who is let in, <https://learn.microsoft.com/en-us/exchange/permissions-exo/application-rbac>.

use crate::{
    api::Reason,
    mail::rest::{Kind, Said, Verdict},
};

/// Where it is granted, as long as nothing more is known.
const GRANT: &str = "Grant the application Mail.ReadWrite (Mail.Read does for cleanup Keep) as an application permission with \
                     admin consent, or by RBAC for Applications with a scope that holds this mailbox; an Application Access \
                     Policy must not leave it out, and a change takes up to two hours to be in force";
const MAILBOX: &str = "Assign the account a licence with Exchange Online; a mailbox that is on premises, or was deleted, is not \
                       served by Graph";
const USER: &str = "The directory has no such user: set graph.user to the userPrincipalName or object id of the mailbox's account, \
                    as an alias is not found";

/// What a refusal means.
#[must_use]
pub fn judge(said: &Said<'_>) -> Verdict {
    use Kind::{Gone, Later, No, Token};
    use Reason::{AuthenticationFailed, MailboxAccessDenied, MailboxNotFound, ProtocolError, RateLimited, ServerBusy};
    let is = |names: &[&str]| said.is_one_of(names);
    if said.status == 401 || is(&["InvalidAuthenticationToken"]) {
        return Verdict::new(Token, AuthenticationFailed, "");
    }
    if said.status == 429 || is(&["TooManyRequests", "ApplicationThrottled", "ActivityLimitReached"]) {
        return Verdict::new(Later, RateLimited, "");
    }
    if is(&[
        "MailboxNotEnabledForRESTAPI",
        "MailboxNotSupportedForRESTAPI",
        "ErrorNonExistentMailbox",
        "ErrorMissingEmailAddress",
    ]) {
        return Verdict::new(No, MailboxNotFound, MAILBOX);
    }
    if is(&["ErrorInvalidUser", "Request_ResourceNotFound", "ResourceNotFound"]) {
        return Verdict::new(No, MailboxNotFound, USER);
    }
    if is(&["ErrorItemNotFound", "ErrorFolderNotFound"]) {
        return Verdict::new(Gone, MailboxNotFound, "");
    }
    if said.status == 403 || is(&["ErrorAccessDenied", "Authorization_RequestDenied", "accessDenied"]) {
        return Verdict::new(No, MailboxAccessDenied, GRANT);
    }
    if said.status >= 500 || is(&["ErrorServerBusy", "serviceNotAvailable", "ErrorMailboxStoreUnavailable"]) {
        return Verdict::new(Later, ServerBusy, "");
    }
    if said.status == 404 {
        return Verdict::new(Gone, MailboxNotFound, "");
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
        for (status, code, kind, reason) in [
            (401, "InvalidAuthenticationToken", Token, AuthenticationFailed),
            (401, "", Token, AuthenticationFailed),
            (403, "ErrorAccessDenied", No, MailboxAccessDenied),
            (403, "Authorization_RequestDenied", No, MailboxAccessDenied),
            (403, "", No, MailboxAccessDenied),
            (404, "MailboxNotEnabledForRESTAPI", No, MailboxNotFound),
            (404, "ErrorInvalidUser", No, MailboxNotFound),
            (404, "Request_ResourceNotFound", No, MailboxNotFound),
            (404, "ErrorItemNotFound", Gone, MailboxNotFound),
            (404, "", Gone, MailboxNotFound),
            (429, "TooManyRequests", Later, RateLimited),
            (429, "", Later, RateLimited),
            (503, "serviceNotAvailable", Later, ServerBusy),
            (504, "", Later, ServerBusy),
            (400, "ErrorInvalidRequest", No, ProtocolError),
            // An error in an answer that says that all is well.
            (200, "ErrorAccessDenied", No, MailboxAccessDenied),
        ] {
            let names = [code.to_owned()];
            let verdict = judge(&Said { status, names: &names, words: "" });
            assert_eq!((verdict.kind, verdict.reason), (kind, reason), "{status} {code}");
        }
    }
}
