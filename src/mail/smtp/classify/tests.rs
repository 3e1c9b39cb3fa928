//! What real servers say, and what it means.

use Class::{Transient as T, User as U};
use Reason::*;
use Stage::{Auth, Banner, Data, Ehlo, Ehlo2, Mail, Quit, Rcpt, StartTls};

use super::*;

const NOBODY: Option<Provider> = None;
const M365: Option<Provider> = Some(Provider::Microsoft365);
const GOOGLE: Option<Provider> = Some(Provider::Google);
const SES: Option<Provider> = Some(Provider::Ses);
const SENDGRID: Option<Provider> = Some(Provider::SendGrid);
const MAILGUN: Option<Provider> = Some(Provider::Mailgun);
const FASTMAIL: Option<Provider> = Some(Provider::Fastmail);
const YAHOO: Option<Provider> = Some(Provider::Yahoo);
const ICLOUD: Option<Provider> = Some(Provider::ICloud);
const ZOHO: Option<Provider> = Some(Provider::Zoho);

fn check(rows: &[(Stage, Option<Provider>, &str, Reason, Class)]) {
    let wrong: Vec<_> = rows
        .iter()
        .filter_map(|(stage, provider, text, reason, class)| {
            let reply = Reply::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let found = classify(*stage, &reply, &About { provider: *provider, ..About::default() });
            let seen = (found.reason, found.class, found.stage);
            (seen != (*reason, *class, Some(*stage))).then(|| format!("{stage} {text}\n  is {seen:?}, wanted {reason} {class:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
#[rustfmt::skip]
fn before_a_login_the_client_is_refused_or_the_server_is_busy() {
    check(&[
        (Banner, NOBODY, "421 4.3.2 Service not available, closing transmission channel", ServerBusy, T),
        (Banner, NOBODY, "421 mx.example Service not available", ServerBusy, T),
        (Banner, NOBODY, "421 4.7.0 mx.example Error: too many connections from 192.0.2.7", RateLimited, T),
        (Banner, NOBODY, "421 Too many concurrent SMTP connections; please try again later.", RateLimited, T),
        (Banner, NOBODY, "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing transmission channel", RateLimited, T),
        (Banner, NOBODY, "421 4.7.0 Try again later, closing connection. (EHLO)", RateLimited, T),
        (Banner, NOBODY, "421 4.3.0: Temporary Error: Can't create new message", ServerBusy, T),
        (Banner, NOBODY, "421 mx.example: Load average too high", ServerBusy, T),
        (Banner, NOBODY, "421 4.7.1 - Connection refused - 192.0.2.7 - Please add reverse DNS", ClientHostRejected, T),
        (Banner, NOBODY, "450 4.3.2 please try again later", ServerBusy, T),
        (Banner, NOBODY, "451 Greylisted, please try again in 300 seconds", Greylisted, T),
        (Banner, NOBODY, "554 mx.example ESMTP not accepting messages", ClientHostRejected, U),
        (Banner, NOBODY, "554 No SMTP service here", ClientHostRejected, U),
        (Banner, NOBODY, "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org", ClientHostRejected, U),
        (Banner, NOBODY, "550 5.7.1 Unfortunately, messages from [192.0.2.7] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150).", ClientHostRejected, U),
        (Banner, NOBODY, "554-mx.example\n554 Your access to this mail system has been rejected due to the sending MTA's poor reputation", ClientHostRejected, U),
        (Banner, NOBODY, "530 5.7.0 TLS required", TLSRequired, U),
        (Banner, NOBODY, "220 mx.example ESMTP", ProtocolError, T),
        (Ehlo, NOBODY, "501 5.5.4 Invalid domain name", ClientHostRejected, U),
        (Ehlo, NOBODY, "501 Syntactically invalid EHLO argument(s)", ClientHostRejected, U),
        (Ehlo, NOBODY, "550 Administrative prohibition: bad HELO name", ClientHostRejected, U),
        (Ehlo, NOBODY, "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", ClientHostRejected, U),
        (Ehlo, NOBODY, "450 4.7.1 <nohost>: Helo command rejected: Host not found", ClientHostRejected, T),
        (Ehlo, NOBODY, "554 SMTP synchronization error", ProtocolError, T),
        (Ehlo, NOBODY, "554 SMTP protocol synchronization error (input sent without waiting for greeting)", ProtocolError, T),
        (Ehlo, NOBODY, "421 4.4.2 mx.example Error: timeout exceeded", ServerBusy, T),
        (Ehlo, NOBODY, "500 5.5.1 Command unrecognized", ProtocolError, T),
        (Ehlo2, NOBODY, "503 5.5.1 Bad sequence of commands", ProtocolError, T),
        (Ehlo, NOBODY, "452 4.3.1 Out of memory", ServerBusy, T),
        (Ehlo, NOBODY, "530 5.7.1 Authentication required", AuthenticationRequired, U),
        (StartTls, NOBODY, "454 4.7.0 TLS not available due to local problem", StartTLSRefused, T),
        (StartTls, NOBODY, "454 TLS currently unavailable", StartTLSRefused, T),
        (StartTls, NOBODY, "500 5.5.1 Error: command not implemented", StartTLSRefused, U),
        (StartTls, NOBODY, "501 Syntax error (no parameters allowed)", StartTLSRefused, U),
        (StartTls, NOBODY, "502 5.5.1 Error: command not implemented", StartTLSRefused, U),
        (StartTls, NOBODY, "554 5.7.3 Unable to initialize security subsystem", StartTLSRefused, U),
        (StartTls, NOBODY, "530 5.7.0 TLS required", StartTLSRefused, U),
        (StartTls, NOBODY, "421 4.3.0 closing", ServerBusy, T),
        (StartTls, NOBODY, "421 4.7.0 Too many TLS sessions", RateLimited, T),
        (StartTls, NOBODY, "454 4.7.0 Error: too many new TLS sessions from 192.0.2.7", RateLimited, T),
        (StartTls, NOBODY, "354 go on", ProtocolError, T),
        (Banner, NOBODY, "421 mx.example: Too much load; please try again later", ServerBusy, T),
        (Ehlo, NOBODY, "503 5.7.0 Error: access denied for unknown[192.0.2.7]", ClientHostRejected, U),
        (Quit, NOBODY, "500 what", ProtocolError, T),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_refused_login_says_which_kind_of_refusal_it_is() {
    check(&[
        (Auth, NOBODY, "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", AuthenticationFailed, U),
        (Auth, NOBODY, "535 5.7.8 Error: authentication failed: authentication failure", AuthenticationFailed, U),
        (Auth, NOBODY, "535 5.7.8 Error: authentication failed: (reason unavailable)", AuthenticationFailed, U),
        (Auth, NOBODY, "535 Incorrect authentication data", AuthenticationFailed, U),
        (Auth, NOBODY, "535 authentication failed (#5.7.1)", AuthenticationFailed, U),
        (Auth, NOBODY, "535 Authentication failed", AuthenticationFailed, U),
        (Auth, NOBODY, "535 5.7.3 Authentication unsuccessful", AuthenticationFailed, U),
        (Auth, NOBODY, "535 5.7.0 Invalid login or password", AuthenticationFailed, U),
        (Auth, NOBODY, "525 5.7.13 User account disabled", AuthenticationFailed, U),
        (Auth, NOBODY, "550 5.7.1 access denied", AuthenticationFailed, U),
        (Auth, NOBODY, "535 5.7.8 Error: authentication failed: Connection lost to authentication server", AuthenticationUnavailable, T),
        (Auth, NOBODY, "454 4.7.0 Temporary authentication failure: Connection lost to authentication server", AuthenticationUnavailable, T),
        (Auth, NOBODY, "454 4.7.0 Temporary authentication failure", AuthenticationUnavailable, T),
        (Auth, NOBODY, "454 4.3.0 Try again later", AuthenticationUnavailable, T),
        (Auth, NOBODY, "435 Unable to authenticate at present", AuthenticationUnavailable, T),
        (Auth, NOBODY, "451 4.3.0 Internal error", AuthenticationUnavailable, T),
        (Auth, NOBODY, "454 4.7.8 later", AuthenticationUnavailable, T),
        (Auth, NOBODY, "454 4.7.0 Invalid password", AuthenticationFailed, U),
        (Auth, NOBODY, "421 4.7.0 mx.example Error: too many errors", RateLimited, T),
        (Auth, NOBODY, "421 4.3.2 Service shutting down", ServerBusy, T),
        (Auth, NOBODY, "432 4.3.2 Too many logins", RateLimited, T),
        (Auth, NOBODY, "432 4.3.2 Concurrent connections limit exceeded", RateLimited, T),
        (Auth, NOBODY, "432 4.7.12 A password transition is needed", AuthMechanismNotOffered, U),
        (Auth, NOBODY, "535 5.7.0 Too many failed logins, try again later", RateLimited, T),
        (Auth, NOBODY, "535 5.7.8 Too many failed logins", RateLimited, T),
        (Auth, NOBODY, "504 5.7.4 Unrecognized authentication type", AuthMechanismNotOffered, U),
        (Auth, NOBODY, "504 5.5.4 Unrecognized authentication type", AuthMechanismNotOffered, U),
        (Auth, NOBODY, "504 NTLM authentication mechanism not supported", AuthMechanismNotOffered, U),
        (Auth, NOBODY, "535 5.7.8 Error: authentication failed: Invalid authentication mechanism", AuthenticationFailed, U),
        (Auth, NOBODY, "534 5.7.9 Authentication mechanism is too weak", AuthMechanismNotOffered, U),
        (Auth, NOBODY, "501 5.5.2 Cannot decode response", AuthMechanismNotOffered, U),
        (Auth, NOBODY, "538 5.7.11 Encryption required for requested authentication mechanism", TLSRequired, U),
        (Auth, NOBODY, "538 Encryption required for requested authentication mechanism", TLSRequired, U),
        (Auth, NOBODY, "523 5.7.10 Encryption Needed", TLSRequired, U),
        (Auth, NOBODY, "504 5.5.4 Encryption required for requested authentication mechanism", TLSRequired, U),
        (Auth, NOBODY, "450 4.7.1 Error: too many AUTH commands from 192.0.2.7", RateLimited, T),
        (Auth, NOBODY, "530 5.7.0 Must issue a STARTTLS command first", TLSRequired, U),
        (Auth, NOBODY, "530 5.5.1 Invalid command: Must issue a STARTTLS command first", TLSRequired, U),
        (Auth, NOBODY, "451 5.7.3 STARTTLS is required to send mail", TLSRequired, U),
        (Auth, NOBODY, "503 5.5.1 Error: authentication not enabled", AuthNotOffered, U),
        (Auth, NOBODY, "503 AUTH command used when not advertised", AuthNotOffered, U),
        (Auth, NOBODY, "502 5.5.1 Error: command not implemented", AuthNotOffered, U),
        (Auth, NOBODY, "500 5.5.1 Invalid command: Command unrecognized", AuthNotOffered, U),
        (Auth, NOBODY, "535 5.7.8 Application-specific password required", AppPasswordRequired, U),
        (Auth, NOBODY, "334 ", ProtocolError, T),

        (Auth, M365, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [AM0PR01]", BasicAuthDisabled, U),
        (Auth, M365, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", BasicAuthDisabled, U),
        (Auth, M365, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", BasicAuthDisabled, U),
        (Auth, NOBODY, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", BasicAuthDisabled, U),
        (Auth, M365, "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.", BasicAuthDisabled, U),
        (Auth, M365, "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.", BasicAuthDisabled, U),
        (Auth, M365, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [AM0PR01]", AuthenticationFailed, U),
        (Auth, NOBODY, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", AuthenticationFailed, U),
        (Auth, M365, "535 5.7.139 Authentication unsuccessful", AuthenticationFailed, U),
        (Auth, M365, "535 5.7.3 Authentication unsuccessful [AM0PR01]", AuthenticationFailed, U),
        (Auth, M365, "550 5.7.30 Basic authentication is not supported for Client Submission.", BasicAuthDisabled, U),
        (Data, NOBODY, "550 5.7.30 Basic authentication is not supported for Client Submission.", BasicAuthDisabled, U),
        (Auth, M365, "454 4.7.0 Temporary authentication failure", AuthenticationUnavailable, T),

        (Auth, GOOGLE, "534-5.7.9 Application-specific password required. For more information, go to\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp", AppPasswordRequired, U),
        (Auth, NOBODY, "534 5.7.9 Application-specific password required.", AppPasswordRequired, U),
        (Auth, GOOGLE, "534-5.7.9 Please log in with your web browser and then try again.\n534 5.7.9 https://support.google.com/mail/?p=WebLoginRequired - gsmtp", AuthenticationFailed, U),
        (Auth, GOOGLE, "534-5.7.14 <https://accounts.google.com/signin/continue> Please log in via your web browser and then try again.\n534 5.7.14 x - gsmtp", AuthenticationFailed, U),
        (Auth, GOOGLE, "535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp", AuthenticationFailed, U),
        (Auth, GOOGLE, "454 4.7.0 Too many login attempts, please try again later. x - gsmtp", RateLimited, T),
        (Auth, GOOGLE, "454 4.7.0 Cannot authenticate due to a temporary system problem. Try again later.", AuthenticationUnavailable, T),
        (Auth, GOOGLE, "504 5.7.4 Unrecognized Authentication Type", AuthMechanismNotOffered, U),

        (Auth, SES, "535 Authentication Credentials Invalid", AuthenticationFailed, U),
        (Auth, SES, "454 Temporary authentication failure", AuthenticationUnavailable, T),
        (Auth, SENDGRID, "451 Authentication failed: Maximum credits exceeded", QuotaExceeded, T),
        (Auth, SENDGRID, "535 Authentication failed: The provided authorization grant is invalid, expired, or revoked", AuthenticationFailed, U),
        (Auth, FASTMAIL, "535 5.7.0 Incorrect username or password (details)", AppPasswordRequired, U),
        (Auth, YAHOO, "535 5.7.0 (#AUTH005) Too many bad auth attempts.", AppPasswordRequired, U),
        (Auth, ZOHO, "535 Authentication Failed", AuthenticationFailed, U),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_refused_sender_is_refused_for_anyone_or_for_this_account() {
    check(&[
        (Mail, NOBODY, "530 5.7.0 Must issue a STARTTLS command first", TLSRequired, U),
        (Mail, NOBODY, "530 Must issue a STARTTLS command first", TLSRequired, U),
        (Mail, NOBODY, "450 4.7.1 Session encryption is required", TLSRequired, U),
        (Mail, NOBODY, "530 5.7.1 Authentication required", AuthenticationRequired, U),
        (Mail, NOBODY, "530 Authentication required", AuthenticationRequired, U),
        (Mail, NOBODY, "530 5.5.1 Invalid command: Must issue an AUTH command first", AuthenticationRequired, U),
        (Mail, NOBODY, "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM", AuthenticationRequired, U),
        (Mail, M365, "530 5.7.57 Client not authenticated to send mail. [AM0PR01]", AuthenticationRequired, U),
        (Mail, NOBODY, "550 5.7.1 Client was not authenticated", AuthenticationRequired, U),
        (Mail, NOBODY, "503 auth first (#5.5.1)", AuthenticationRequired, U),
        (Mail, NOBODY, "550 5.1.8 <x@nowhere.invalid>: Sender address rejected: Domain not found", SenderRejected, U),
        (Rcpt, NOBODY, "450 4.1.8 <x@nowhere.invalid>: Sender address rejected: Domain not found", SenderRejected, T),
        (Rcpt, NOBODY, "553 5.7.1 <boss@example.org>: Sender address rejected: not owned by user relay@example.org", SendAsDenied, U),
        (Rcpt, NOBODY, "553 5.7.1 <boss@example.org>: Sender address rejected: not logged in", AuthenticationRequired, U),
        (Mail, NOBODY, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", SendAsDenied, U),
        (Mail, M365, "554 5.7.60 SMTP; Client does not have permissions to send as this sender", SendAsDenied, U),
        (Data, M365, "554 5.2.252 SendAsDenied; relay@contoso.com not allowed to send as boss@contoso.com; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied", SendAsDenied, U),
        (Data, NOBODY, "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied", SendAsDenied, U),
        (Mail, NOBODY, "501 mail from address must be same as authorization user", SendAsDenied, U),
        (Mail, NOBODY, "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)", SenderRejected, U),
        (Mail, NOBODY, "553 5.1.8 <x@nowhere.invalid>... Domain of sender address x@nowhere.invalid does not exist", SenderRejected, U),
        (Rcpt, NOBODY, "550 Sender verify failed", SenderRejected, U),
        (Mail, NOBODY, "550 5.1.7 Invalid address", SenderRejected, U),
        (Mail, NOBODY, "501 5.1.7 Bad sender address syntax", SenderRejected, U),
        (Mail, NOBODY, "553 mailbox name not allowed", SenderRejected, U),
        (Mail, NOBODY, "552 5.3.4 Message size exceeds fixed limit", MessageTooLarge, U),
        (Mail, NOBODY, "552 Message size exceeds maximum permitted", MessageTooLarge, U),
        (Mail, NOBODY, "452 4.3.1 Insufficient system storage", ServerBusy, T),
        (Mail, NOBODY, "451 4.3.0 Temporary lookup failure", ServerBusy, T),
        (Mail, NOBODY, "451 4.3.5 Server configuration error", ServerBusy, T),
        (Mail, NOBODY, "452 Too many messages sent", RateLimited, T),
        (Mail, NOBODY, "421 4.4.2 timeout", ServerBusy, T),
        (Mail, NOBODY, "555 5.5.4 Unsupported option: SMTPUTF8", ProtocolError, T),
        (Mail, NOBODY, "503 5.5.1 Error: nested MAIL command", ProtocolError, T),
        (Data, ICLOUD, "550 5.7.0 From address is not one of your addresses", SendAsDenied, U),
        (Data, FASTMAIL, "551 5.7.1 Not authorised to send from this header address", SendAsDenied, U),
        (Mail, ZOHO, "553 Relaying disallowed as boss@example.org", SendAsDenied, U),
        (Data, SENDGRID, "550 The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.", SenderRejected, U),
        (Mail, SENDGRID, "550 Unauthenticated senders not allowed", AuthenticationRequired, U),
        (Data, SES, "554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: a@example.org", SenderRejected, U),
        (Data, SES, "554 Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform `ses:SendRawEmail' on resource", SendAsDenied, U),
    ]);
}

#[test]
#[rustfmt::skip]
fn at_rcpt_the_recipient_the_relay_and_the_client_are_told_apart() {
    check(&[
        (Rcpt, NOBODY, "550 5.1.1 <x@example.org>: Recipient address rejected: User unknown in local recipient table", RecipientRejected, U),
        (Rcpt, NOBODY, "550 5.1.1 <x@example.org>... User unknown", RecipientRejected, U),
        (Rcpt, NOBODY, "550 Unrouteable address", RecipientRejected, U),
        (Rcpt, NOBODY, "550 sorry, no mailbox here by that name. (#5.7.17)", RecipientRejected, U),
        (Rcpt, NOBODY, "550 Invalid recipient", RecipientRejected, U),
        (Rcpt, NOBODY, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", RecipientRejected, U),
        (Rcpt, NOBODY, "550 5.4.1 Recipient address rejected: Access denied. [AM0PR01]", RecipientRejected, U),
        (Rcpt, NOBODY, "554 5.7.1 <x@example.org>: Recipient address rejected: Access denied", RecipientRejected, U),
        (Rcpt, NOBODY, "450 4.1.1 <x@example.org>: Recipient address rejected: unverified address", RecipientRejected, T),
        (Rcpt, NOBODY, "450 4.1.2 <x@nowhere.invalid>: Recipient address rejected: Domain not found", RecipientRejected, T),
        (Rcpt, NOBODY, "556 5.1.10 Recipient address has null MX", RecipientRejected, U),
        (Rcpt, NOBODY, "550 5.2.1 The email account that you tried to reach is disabled", RecipientRejected, U),
        (Rcpt, NOBODY, "501 5.1.3 Bad recipient address syntax", RecipientRejected, U),
        (Rcpt, NOBODY, "551 User not local", RecipientRejected, U),
        (Rcpt, NOBODY, "450 Requested mail action not taken: mailbox unavailable", RecipientRejected, T),
        (Rcpt, NOBODY, "554 5.7.1 <x@example.net>: Relay access denied", RelayDenied, U),
        (Rcpt, NOBODY, "454 4.7.1 <x@example.net>: Relay access denied", RelayDenied, T),
        (Rcpt, NOBODY, "550 relay not permitted", RelayDenied, U),
        (Rcpt, NOBODY, "550 5.7.1 x@example.net... Relaying denied", RelayDenied, U),
        (Rcpt, NOBODY, "550-5.7.1 <x@example.net>... relaying denied\n550 5.7.1 ask the administrator", RelayDenied, U),
        (Rcpt, NOBODY, "550 5.7.1 Unable to relay", RelayDenied, U),
        (Rcpt, NOBODY, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", RelayDenied, U),
        (Rcpt, NOBODY, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", RelayDenied, U),
        (Rcpt, M365, "550 5.7.64 TenantAttribution; Relay Access Denied", RelayDenied, U),
        (Rcpt, GOOGLE, "550-5.7.1 Invalid credentials for relay [192.0.2.7]. The IP address you've\n550 5.7.1 registered in your Workspace SMTP Relay service doesn't match", RelayDenied, U),
        (Rcpt, MAILGUN, "550 5.7.1 Relaying denied", RelayDenied, U),
        (Rcpt, NOBODY, "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied", ClientHostRejected, U),
        (Rcpt, NOBODY, "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.7]", ClientHostRejected, T),
        (Rcpt, NOBODY, "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.7]", ClientHostRejected, T),
        (Rcpt, NOBODY, "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.7", ClientHostRejected, U),
        (Rcpt, NOBODY, "550 5.7.1 <localhost>: Helo command rejected: Don't use my own hostname", ClientHostRejected, U),
        (Rcpt, NOBODY, "550 JunkMail rejected - x [192.0.2.7] is in an RBL: listed at bl.example", ClientHostRejected, U),
        (Rcpt, NOBODY, "550 5.7.606 Access denied, banned sending IP [192.0.2.7]. To request removal visit https://sender.office.com/", ClientHostRejected, U),
        (Rcpt, NOBODY, "550 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.7", RecipientRejected, U),
        (Rcpt, NOBODY, "450 4.2.0 <x@example.org>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.org.html", Greylisted, T),
        (Rcpt, NOBODY, "451 4.7.1 Greylisting in action, please come back later", Greylisted, T),
        (Rcpt, NOBODY, "450 4.7.1 <unknown[192.0.2.7]>: Client host rejected: Greylisted for 5 minutes", Greylisted, T),
        (Rcpt, NOBODY, "451 4.7.1 Please try again later", ServerBusy, T),
        (Rcpt, NOBODY, "450 4.2.1 The user you are trying to contact is receiving mail too quickly. Please resend your message at a later time.", RateLimited, T),
        (Rcpt, NOBODY, "450 4.7.1 Error: too much mail from 192.0.2.7", RateLimited, T),
        (Rcpt, NOBODY, "452 4.5.3 Error: too many recipients", RateLimited, T),
        (Rcpt, M365, "451 4.7.500 Server busy. Please try again later from [192.0.2.7]. (S77719)", RateLimited, T),
        (Rcpt, NOBODY, "552 5.2.2 <x@example.org> Mailbox full", MailboxFull, U),
        (Rcpt, NOBODY, "452 4.2.2 The email account that you tried to reach is over quota", MailboxFull, T),
        (Rcpt, NOBODY, "552 Requested mail action aborted: exceeded storage allocation", MailboxFull, U),
        (Rcpt, NOBODY, "452 4.2.2 <x@example.org> Quota exceeded (mailbox for user is full)", MailboxFull, T),
        (Rcpt, NOBODY, "452 4.3.1 Insufficient system storage", ServerBusy, T),
        (Rcpt, NOBODY, "452 requested action not taken", ServerBusy, T),
        (Rcpt, NOBODY, "451 Temporary local problem - please try later", ServerBusy, T),
        (Rcpt, NOBODY, "550 5.7.23 <x@example.org>: Recipient address rejected: Message rejected due to: SPF fail - not authorized", SenderAuthenticationFailed, U),
        (Rcpt, NOBODY, "550 5.7.1 SPF check failed for example.org", SenderAuthenticationFailed, U),
        (Rcpt, NOBODY, "550 Relay access denied - please authenticate", RelayDenied, U),
        (Rcpt, NOBODY, "530 5.7.0 Authentication required", AuthenticationRequired, U),
        (Rcpt, NOBODY, "550 authentication required", AuthenticationRequired, U),
        (Rcpt, M365, "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP.", SendingBlocked, U),
        (Data, MAILGUN, "421 Domain sandbox1.mailgun.org is not allowed to send: Sandbox subdomains are for test purposes only. Please add your own domain or add the address to authorized recipients in Account Settings.", RecipientRejected, T),
    ]);
}

#[test]
#[rustfmt::skip]
fn after_the_mail_content_size_quota_and_policy_are_told_apart() {
    check(&[
        (Data, NOBODY, "554 5.7.1 Spam message rejected", MessageRejected, U),
        (Data, NOBODY, "550 5.7.1 message content rejected", MessageRejected, U),
        (Data, NOBODY, "550 Administrative prohibition", MessageRejected, U),
        (Data, NOBODY, "554 5.6.0 Message contains bare newlines", MessageRejected, U),
        (Data, NOBODY, "554 5.4.0 Error: too many hops", MessageRejected, U),
        (Data, NOBODY, "554 Transaction failed", MessageRejected, U),
        (Data, GOOGLE, "552-5.7.0 This message was blocked because its content presents a potential\n552 5.7.0 security issue. - gsmtp", MessageRejected, U),
        (Data, ZOHO, "552 5.7.1 virus Win.Test.EICAR_HDB-1 detected by Zoho Mail", MessageRejected, U),
        (Data, NOBODY, "552 5.3.4 Error: message file too big", MessageTooLarge, U),
        (Data, NOBODY, "552 5.2.3 Message exceeds local size limit", MessageTooLarge, U),
        (Data, NOBODY, "552 sorry, that message size exceeds my databytes limit (#5.3.4)", MessageTooLarge, U),
        (Data, NOBODY, "523 the total message size exceeds your server limit", MessageTooLarge, U),
        (Data, NOBODY, "552 5.2.2 Quota exceeded", MailboxFull, U),
        (Data, NOBODY, "452 4.2.2 Mailbox full", MailboxFull, T),
        (Data, NOBODY, "552 too much data", MessageTooLarge, U),
        (Data, NOBODY, "451 4.3.0 Error: queue file write error", ServerBusy, T),
        (Data, NOBODY, "451 4.3.0 Mail server temporarily rejected message", ServerBusy, T),
        (Data, NOBODY, "451 4.7.1 Greylisting in effect, please come back later", Greylisted, T),
        (Data, NOBODY, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail", RateLimited, T),
        (Data, NOBODY, "421-4.7.0 [192.0.2.7      15] Our system has detected an unusual rate of\n421 4.7.0 unsolicited mail originating from your IP address.", RateLimited, T),
        (Data, M365, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", RateLimited, T),
        (Data, M365, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", QuotaExceeded, U),
        (Data, M365, "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients", QuotaExceeded, U),
        (Data, M365, "550 5.7.705 Access denied, tenant has exceeded threshold", SendingBlocked, U),
        (Data, NOBODY, "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP", SendingBlocked, U),
        (Data, M365, "550 5.7.501 Access denied, spam abuse detected", SendingBlocked, U),
        (Data, M365, "550 5.1.8 Access denied, bad outbound sender", SendingBlocked, U),
        (Data, M365, "550 5.7.509 Access denied, sending domain example.org does not pass DMARC verification", SenderAuthenticationFailed, U),
        (Data, M365, "550 5.7.515 Access denied, sending domain example.org doesn't meet the required authentication level.", SenderAuthenticationFailed, U),
        (Data, GOOGLE, "550-5.7.26 This mail has been blocked because the sender is unauthenticated.\n550 5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM.", SenderAuthenticationFailed, U),
        (Data, NOBODY, "550 5.7.26 Unauthenticated email from example.org is not accepted due to domain's DMARC policy", SenderAuthenticationFailed, U),
        (Data, GOOGLE, "550 5.7.30 Your email has been blocked because DKIM authentication didn't pass", SenderAuthenticationFailed, U),
        (Data, GOOGLE, "550 5.7.27 Your email has been blocked because SPF authentication didn't pass", SenderAuthenticationFailed, U),
        (Data, GOOGLE, "421 4.7.32 Your email has been rate limited because the From: header isn't aligned", SenderAuthenticationFailed, T),
        (Data, NOBODY, "550 5.7.20 No passing DKIM signature found", SenderAuthenticationFailed, U),
        (Data, GOOGLE, "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to https://support.google.com/a/answer/166852", QuotaExceeded, U),
        (Data, NOBODY, "550 5.4.5 Daily sending quota exceeded.", QuotaExceeded, U),
        (Data, SES, "454 Throttling failure: Maximum sending rate exceeded", RateLimited, T),
        (Data, SES, "454 Throttling failure: Daily message quota exceeded", QuotaExceeded, T),
        (Data, SES, "554 Sending suspended for this account", SendingBlocked, U),
        (Data, ZOHO, "550 5.4.6 Unusual sending activity detected. Please try after sometime", SendingBlocked, U),
        (Data, ZOHO, "554 5.1.8 Sender Address Blocked", SendingBlocked, U),
        (Data, NOBODY, "550 Your account has been suspended", SendingBlocked, U),
        (Data, GOOGLE, "550-5.7.1 [192.0.2.7] The IP you're using to send mail is not authorized to\n550 5.7.1 send email directly to our servers.", ClientHostRejected, U),
        (Data, GOOGLE, "550 5.7.25 [192.0.2.7] The IP address sending this message does not have a PTR record setup", ClientHostRejected, U),
        (Data, NOBODY, "550 From header sender domain not verified", SenderRejected, U),
        (Data, NOBODY, "250 2.0.0 Ok: queued as 1", ProtocolError, T),
        (Data, NOBODY, "503 5.5.1 Error: need RCPT command", ProtocolError, T),
        (Data, NOBODY, "530 5.7.1 Client not authenticated", AuthenticationRequired, U),
        (Data, NOBODY, "421 4.4.1 lost backend", ServerBusy, T),
    ]);
}

#[test]
fn facts_fill_every_hint_that_a_reply_can_lead_to() {
    let offered = ["GSSAPI".to_owned()];
    let about = About {
        host: "smtp.example.org",
        port: 587,
        security: Security::StartTLS,
        tls: true,
        from: Some("relay@example.org"),
        to: Some("ops@example.net"),
        user: Some("relay"),
        helo: "relay.example.org",
        egress_ip: Some("198.51.100.9".parse().unwrap()),
        provider: None,
        max_size: Some(1000),
        offered: &offered,
        allowed: &[Mechanism::Plain],
    };
    let hint = |stage, text: &str| classify(stage, &Reply::parse(text).unwrap(), &about).hint();
    assert_eq!(
        hint(Rcpt, "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied"),
        "The server refused client 192.0.2.7 as relay.example.org. Have that address allowed, or set heloName."
    );
    assert!(hint(Banner, "554 No SMTP service here").contains("client 198.51.100.9 as"));
    assert_eq!(
        hint(Mail, "550 5.7.60 Client does not have permissions to send as this sender"),
        "The server refuses From relay@example.org for account relay. Grant Send As, or use the account's own address."
    );
    assert!(hint(Rcpt, "550 relay not permitted").contains("relay to ops@example.net for us (198.51.100.9)"));
    assert_eq!(hint(Mail, "552 5.3.4 too big"), "The server takes 1000 bytes.");
    assert!(hint(Data, "550 5.7.26 no").contains("DMARC of example.org do"));
    assert_eq!(hint(Auth, "504 5.7.4 no"), "The server offers GSSAPI; you allow PLAIN. Some offer more after TLS.");
    assert!(hint(Auth, "535 5.7.139 basic authentication is disabled").starts_with("Microsoft 365 takes no passwords here"));
    assert!(hint(Data, "250 ok").contains("The server broke RFC 5321"));
    let about = About { provider: Some(Provider::Google), ..about };
    let found = classify(Auth, &Reply::parse("534 5.7.9 Application-specific password required").unwrap(), &about);
    assert_eq!(found.get("provider"), Some("https://myaccount.google.com/apppasswords"));
}

#[test]
fn inside_tls_no_server_is_told_to_lack_tls() {
    let inside = About { tls: true, ..About::default() };
    let reason = |stage, text: &str| classify(stage, &Reply::parse(text).unwrap(), &inside).reason;
    assert_eq!(reason(Auth, "538 5.7.11 Encryption required for requested authentication mechanism"), AuthMechanismNotOffered);
    assert_eq!(reason(Rcpt, "421 4.7.0 TLS required for RCPT domain, closing connection."), ServerBusy);
    assert_eq!(reason(Mail, "530 5.7.0 Must issue a STARTTLS command first"), AuthenticationRequired);
}

#[test]
fn the_servers_words_are_kept_with_their_codes() {
    let reply = Reply::parse("535-5.7.8 Username and Password not accepted.\n535 5.7.8 Go away").unwrap();
    let found = classify(Auth, &reply, &About::default());
    assert_eq!(found.message(), "AUTH: 535 5.7.8 Username and Password not accepted. Go away");
}

#[test]
#[rustfmt::skip]
fn only_replies_that_judged_no_password_let_another_mechanism_follow() {
    use LoginJudgement::{Accepted, NotJudged, Refused, TooMany, Unavailable};
    let rows = [
        ("235 2.7.0 Authentication successful", Accepted),
        ("535 5.7.8 Error: authentication failed", Refused),
        ("535 Incorrect authentication data", Refused),
        ("535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", Refused),
        ("534 5.7.9 Application-specific password required", Refused),
        ("534 5.7.14 Please log in via your web browser", Refused),
        ("525 5.7.13 User account disabled", Refused),
        ("550 5.7.1 access denied", Refused),
        ("554 no", Refused),
        ("501 5.7.8 Authentication failed", Refused),
        ("504 authentication failed", Refused),
        ("535 5.7.0 (#AUTH005) Too many bad auth attempts.", Refused),
        ("504 5.7.4 Unrecognized authentication type", NotJudged),
        ("504 5.5.4 mechanism not supported", NotJudged),
        ("534 5.7.9 Authentication mechanism is too weak", NotJudged),
        ("538 5.7.11 Encryption required", NotJudged),
        ("530 5.7.0 Must issue a STARTTLS command first", NotJudged),
        ("500 5.5.1 Command unrecognized", NotJudged),
        ("501 5.5.2 Cannot decode", NotJudged),
        ("502 5.5.1 not implemented", NotJudged),
        ("503 5.5.1 bad sequence", NotJudged),
        ("432 4.7.12 A password transition is needed", NotJudged),
        ("432 4.3.2 Concurrent connections limit exceeded", TooMany),
        ("454 4.7.0 Too many login attempts, please try again later", TooMany),
        ("421 4.7.0 too many errors", TooMany),
        ("535 5.7.0 Too many failed logins", TooMany),
        ("454 4.7.0 Temporary authentication failure", Unavailable),
        ("535 5.7.8 Error: authentication failed: Connection lost to authentication server", Unavailable),
        ("435 Unable to authenticate at present", Unavailable),
        ("421 4.3.2 shutting down", Unavailable),
    ];
    for (text, want) in rows {
        assert_eq!(LoginJudgement::of(&Reply::parse(text).unwrap()), want, "{text}");
    }
}

#[test]
fn no_reply_at_no_stage_is_left_without_a_reason() {
    let stages = [Banner, Ehlo, StartTls, Ehlo2, Auth, Mail, Rcpt, Data, Quit];
    for stage in stages {
        for code in 200..600 {
            let found = classify(stage, &Reply::parse(&format!("{code} x")).unwrap(), &About::default());
            assert_ne!(found.class, Class::Information, "{stage} {code}");
            assert!(!(400..500).contains(&code) || found.reason != RecipientRejected || found.class == T, "{stage} {code}");
        }
    }
}
