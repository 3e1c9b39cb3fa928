//! Every reason that mailverity gives, in one closed table: what it means, which condition it stands on, whether a
//! retry can help, and what to do.
//!
//! Conditions, Events, metrics, the CLI and `docs/reasons.md` are all made from these rows. A new reason is one row
//! here and one test that makes it happen.

use std::fmt;

use super::v1alpha1::condition as c;

/// Who can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Only a change by the user: `Stalled`, and no retry before the next interval.
    User,
    /// Time may: looking and connecting are tried again with back-off.
    Transient,
    /// Nothing is wrong.
    Information,
}

impl Class {
    /// The word in the reason table of the documentation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "needs you",
            Self::Transient => "tried again",
            Self::Information => "information",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Who can help.
    pub class: Class,
    /// The condition it stands on; none where the failing stage names it.
    pub condition: Option<&'static str>,
    /// What it means, for the table in the documentation.
    pub meaning: &'static str,
    /// What to do: `{x}` is filled in from the diagnosis, and a part in `[brackets]` is left out where a fact is missing.
    pub hint: &'static str,
}

macro_rules! reasons {
    ($($name:ident: $class:ident, $condition:expr, $meaning:literal, $hint:literal;)*) => {
        /// Why a condition has its status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each row's meaning says it, and the documentation prints it")]
        pub enum Reason { $($name,)* }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in conditions, Events, metrics and JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Its row of the table.
            #[must_use]
            pub fn row(self) -> Row {
                match self { $(Self::$name => Row { class: Class::$class, condition: $condition, meaning: $meaning, hint: $hint },)* }
            }
        }
    };
}

reasons! {
    // What holds
    Succeeded: Information, None, "It works.", "";
    TestMessageAccepted: Information, Some(c::DELIVERY_TESTED), "The server took the test mail.", "{reply}";
    TokenAcquired: Information, Some(c::CREDENTIALS_READY), "An access token was had.", "";
    NewGeneration: Information, Some(c::RECONCILING), "A changed spec is not judged yet.", "Generation {generation} is being judged.";
    NeverVerified: Information, Some(c::VERIFIED), "No check has come to a conclusion yet.", "The first check is due at {next}.";
    VerificationRunning: Information, Some(c::VERIFIED), "The first check is under way.", "Wait for it to end.";
    CertificateExpiring: Information, Some(c::CERTIFICATE_EXPIRING), "The server's certificate ends soon.", "The certificate of {subject} ends at {notAfter}; renew it on the server before.";
    CredentialExpiring: Information, Some(c::CREDENTIAL_EXPIRING), "The client secret or certificate of the application ends soon.", "The {what} in Secret {secret} ends at {at}; make a new one at the provider, and put it there before.";
    BasicAuthRetiring: Information, Some(c::BASIC_AUTH_RETIRING), "The account logs in by a password, and its provider has announced the end of that.", "Change to auth.type OAuth2 before; docs/oauth2.md says how.";
    UsingAlternate: Information, Some(c::DEGRADED), "The primary server failed and an alternate is in use.", "Primary {host} failed: {reason}; {alternate} is in use.";
    Suspended: Information, Some(c::SUSPENDED), "The object is suspended: nothing is sent or checked.", "Set spec.suspend: false[, or wait until {until}].";
    Paused: Information, Some(c::SUSPENDED), "Everything, or this namespace, is paused.", "Delete the ConfigMap {configmap}, or its key for this namespace[; it ends at {until}].";
    Maintenance: Information, Some(c::SUSPENDED), "A maintenance window is open: nothing is checked.", "Checks go on at {until}.";
    ObserveOnly: Information, Some(c::DELIVERY_TESTED), "The installation runs in mode Observe: it connects and logs in, and sends nothing.", "Start the operator with --mode Enforce to let test mails go.";

    CodeReceived: Information, Some(c::VERIFIED), "The mail with the code was found in the mailbox.", "";
    AllActorsVerified: Information, Some(c::VERIFIED), "Every actor found its code.", "";
    AwaitingManualMessage: Information, Some(c::VERIFIED), "Mode Manual: a person is asked to send a mail.", "Send a mail to {to} with the subject {subject} before {deadline}.";
    SharedMailbox: Information, Some(c::DEGRADED), "The mailbox that is verified is the sender's own.", "{address} sends the mails as well as receiving them; give the profile a mailbox of its own, since its mail is looked at by a machine.";
    MultiHomedSameSubnet: Information, Some(c::DEGRADED), "Two interfaces of an actor are in one subnet.", "{interfaces} are in one subnet: answers may leave by another one than requests came in by, and time out. Take one of them off, or give it a subnet of its own.";
    SlowMail: Information, Some(c::DEGRADED), "The mail came, and took more than half of the time that it may.", "The mail took {took} of {timeout}; raise verification.timeout, or find the server on the way that holds it.";
    SenderNotAligned: Information, Some(c::SENDER_ALIGNED), "The receiving server could not tell that the mail comes from the sender's domain.", "The receiving server wrote {results} for {domain}; publish {record}.";

    // References
    MailServerNotFound: User, Some(c::RESOLVED_REFS), "A MailServer that the spec names does not exist.", "Create MailServer {name}, or name another.";
    ReceiverNotFound: User, Some(c::RESOLVED_REFS), "A MailReceiver that the spec names does not exist.", "Create MailReceiver {name}, or name another.";
    ProfileNotFound: User, Some(c::RESOLVED_REFS), "An EmailProfile that the spec names does not exist.", "Create EmailProfile {name}, or name another.";
    RefNotFound: User, Some(c::RESOLVED_REFS), "An object that the spec names does not exist, or is of a kind that the installation does not list.", "There is no {kind} {name} in this namespace[: {fault}].";
    NoDefaultServer: User, Some(c::RESOLVED_REFS), "The spec names no MailServer, and the namespace has no default.", "Set serverRef, or annotate one MailServer of namespace {me} with mailverity.dev/is-default-server: \"true\".";
    UsageNotPermitted: User, Some(c::RESOLVED_REFS), "The MailServer's owner does not let this namespace mail that address.", "MailServer {server} lets namespace {me} mail {list}; its owner must widen usage.";
    AccountMismatch: User, Some(c::RESOLVED_REFS), "The outgoing server uses another account than the mailbox.", "MailServer {server} uses {theirs}; outgoing.serverRef must name one with the profile's account {user}.";
    DependencyNotReady: Transient, Some(c::READY), "A MailServer that the spec names does not work.", "Waiting for {kind} {name}: {reason}.";
    SecretNotFound: User, Some(c::RESOLVED_REFS), "A Secret that the spec names does not exist.", "Create Secret {secret} with keys {keys}.[ `kubectl mail login {by}` does it.]";
    SecretKeyMissing: User, Some(c::RESOLVED_REFS), "A Secret lacks a key that is needed.", "Secret {secret} lacks {missing}; it has {present}. Set usernameKey or passwordKey, or add the key.";
    SecretInvalid: User, Some(c::RESOLVED_REFS), "A value in a Secret cannot be right: it is empty, ends in a newline or is no text.", "Key {key} of Secret {secret} {fault}; use printf or `kubectl create secret`, not echo.";
    SecretHostNotAllowed: User, Some(c::RESOLVED_REFS), "The Secret is pinned to other hosts, or may go only through verified TLS.", "The annotation mailverity.dev/allowed-hosts of Secret {secret} does not let it go to {host}: {fault}.";
    CABundleNotFound: User, Some(c::RESOLVED_REFS), "The CA bundle that the spec names does not exist.", "Create {kind} {name} with the PEM certificates in key {key}.";
    CABundleInvalid: User, Some(c::RESOLVED_REFS), "The CA bundle holds no certificate.", "{kind} {name} key {key} holds no PEM certificate[: {fault}].";
    ClientCertificateInvalid: User, Some(c::RESOLVED_REFS), "The client certificate or its key cannot be used.", "Secret {secret} must hold a PEM certificate in tls.crt and its key in tls.key: {fault}.";
    ActorNotFound: User, Some(c::RESOLVED_REFS), "An Actor that the spec names does not exist.", "Create Actor {name}, or leave it out: without any, the operator itself checks.";
    NoActorSelected: User, Some(c::RESOLVED_REFS), "The selector matches no Actor.", "The selector matches no Actor; see `kubectl get actors --show-labels`. Without a selector the operator itself checks.";
    ActorNotPermitted: User, Some(c::RESOLVED_REFS), "An Actor that the spec names is not for this namespace.", "Actor {name} is not for namespace {me}; whoever looks after it must widen its allowedNamespaces.";
    RefUnreadable: Transient, Some(c::RESOLVED_REFS), "The API server did not let the operator read, or hand to the receivers, a Secret or ConfigMap.", "{kind} {name}: {fault}.";
    RefNotPermitted: User, Some(c::RESOLVED_REFS), "An object of another namespace is not shared with this one.", "{kind} {name} is not shared with namespace {me}; its owner must widen allowedNamespaces.";

    // The spec as a whole
    Conflict: User, Some(c::READY), "Another object already has what this one claims.", "{other} already uses {value}.";
    SpecInvalid: User, Some(c::ACCEPTED), "The object cannot be read, or a value in it makes no sense.", "{fault}. `mailverity check -f` shows the line.";
    SelfAddressed: User, Some(c::ACCEPTED), "The probe would be sent to an address of its own.", "{to} is the address that the probe comes from; to must be another, or the probe would answer itself.";
    DomainNotAuthorized: User, Some(c::ACCEPTED), "Answers would come to an address that no receiver takes mail for.", "{address} is not one that MailReceiver {name} takes mail for: {list}.";
    ScheduleInvalid: User, Some(c::ACCEPTED), "A cron line or a time zone cannot be read.", "{fault}. Write five fields, such as `0 22 * * SAT`, and an IANA time zone.";

    // Budgets and held credentials
    RateBudgetExceeded: Transient, None, "A limit on what mailverity itself may do is used up.", "{budget} of {scope} is used up[; next at {next}].";
    CredentialHeld: Transient, Some(c::CREDENTIAL_HELD), "These credentials were refused, and are not tried again for a while, or an account would be locked.", "Account {user} was refused; no try before {until} or a change of Secret {secret}.";

    // Reaching the server
    DNSLookupFailed: Transient, Some(c::REACHABLE), "The name does not resolve.", "{host} does not resolve from {actor}: {rcode}. Check the name and the cluster's DNS.";
    DNSNoAddress: User, Some(c::REACHABLE), "The name exists and has no address.", "{host} exists but has no A or AAAA record.";
    DestinationDenied: User, Some(c::REACHABLE), "The operator's policy forbids this address or port.", "The operator's policy forbids {address} (--deny-cidrs, --allowed-ports).";
    ConnectionRefused: Transient, Some(c::REACHABLE), "Nothing listens on the port, or a firewall refuses.", "{address} refused. Is the port right for security {security}?";
    ConnectionTimedOut: Transient, Some(c::REACHABLE), "Nothing answered before TCP was up.", "No answer from {address}. Often blocked egress[: {port25}]. Check NetworkPolicy and firewall.";
    NetworkUnreachable: Transient, Some(c::REACHABLE), "There is no way to the address.", "No way to {address}; with IPv6 addresses, check that the cluster has IPv6 egress.";
    ConnectionReset: Transient, None, "The connection was reset.", "Something in the path reset the connection to {address} at stage {stage}: a firewall, a proxy or the server.";
    ConnectionClosed: Transient, None, "The server closed the connection.", "The server closed at stage {stage}[; before the banner that often means a blocked client address: {egressIP}, or a load balancer without a server behind it][; {often}].";
    ResponseTimedOut: Transient, None, "TCP is up, and the server then said nothing.", "TCP is up, {address} then said nothing at stage {stage} until the time was over ({timeout}, verification.timeout). A server that holds back its answers on purpose, or resolves our address slowly, needs a longer timeout.";
    ProxyFailed: Transient, Some(c::REACHABLE), "The egress proxy did not connect us.", "The egress proxy {proxy} did not connect to {address}; check its rules.";
    WrongProtocol: User, Some(c::REACHABLE), "The port speaks another protocol.", "The port speaks {found}, not {wanted}.";
    ProtocolError: Transient, None, "The server broke the protocol, or sent more than is reasonable.", "The server broke {rule} at stage {stage}.";
    WrongTLSMode: User, Some(c::REACHABLE), "The port speaks TLS from the first byte where plain text was expected, or the reverse.", "The port answered {found}; use security {mode}.";
    ClientHostRejected: User, Some(c::REACHABLE), "The server does not want this client.", "The server refused client {egressIP} as {helo}. Have that address allowed, or set heloName.";

    // TLS
    StartTLSNotOffered: User, Some(c::TLS_VALID), "The server does not offer STARTTLS.", "The server did not offer STARTTLS on port {port}. Use security TLS with port {tlsPort}, or another server; a proxy may strip it.";
    StartTLSRefused: User, Some(c::TLS_VALID), "The server offers STARTTLS and refused it.", "The server's TLS is set up wrongly; its administrator has to mend it.";
    StartTLSInjection: User, Some(c::TLS_VALID), "Plain text stood behind the reply to STARTTLS: a proxy or an attacker in the path.", "Plain text stood behind the reply to STARTTLS. Nothing was sent. Find what stands in the path.";
    TLSRequired: User, Some(c::TLS_VALID), "The server demands TLS first.", "Use security StartTLS or TLS.";
    TLSHandshakeFailed: User, Some(c::TLS_VALID), "The TLS handshake failed.", "{fault}.";
    TLSVersionUnsupported: User, Some(c::TLS_VALID), "The server speaks no version of TLS that is allowed.", "The server refused version {minVersion} or later[; it speaks at most {found}].";
    CertificateExpired: User, Some(c::TLS_VALID), "The server's certificate has ended.", "The certificate of {subject} was valid {notBefore} to {notAfter}; renew it on the server.";
    CertificateNotYetValid: User, Some(c::TLS_VALID), "The server's certificate is not valid yet.", "The certificate of {subject} is valid {notBefore} to {notAfter}; check the clocks.";
    CertificateUntrusted: User, Some(c::TLS_VALID), "The certificate was signed by a CA that is not trusted.", "[Issuer {issuer} is not trusted; put its CA in tls.caRef (a trust-manager Bundle works).][{cure}.]";
    CertificateChainIncomplete: User, Some(c::TLS_VALID), "The server does not send the intermediate certificate.", "The server does not send the intermediate {issuer}; mend the server's chain file. Trusting the leaf is no cure.";
    HostnameMismatch: User, Some(c::TLS_VALID), "The certificate is for other names.", "[The certificate is for {names}, not {host}; use one of them or set tls.serverName.][Have the certificate issued anew with {missing}; a name in its subject does not count.]";
    ClientCertificateRequired: User, Some(c::TLS_VALID), "The server wants a client certificate.", "Set tls.clientCertificateRef.";
    ClientCertificateRejected: User, Some(c::TLS_VALID), "The server refused the client certificate.", "The server refused the client certificate {subject}.";

    // Logging in
    AuthNotOffered: User, Some(c::AUTHENTICATED), "The server offers no login here.", "The server offers no AUTH; some offer it only after TLS.";
    AuthMechanismNotOffered: User, Some(c::AUTHENTICATED), "No allowed mechanism is offered.", "The server offers {offered}; you allow {allowed}. Some offer more after TLS.";
    AuthenticationRequired: User, Some(c::AUTHENTICATED), "The server demands a login.", "The server demands AUTH; set auth.";
    AuthenticationFailed: User, Some(c::AUTHENTICATED), "The server refused user name or password.", "Check Secret {secret}[; last changed {changed}]. Not tried again before {until}, so that the account is not locked.";
    AuthenticationUnavailable: Transient, Some(c::AUTHENTICATED), "The server cannot check logins now.", "The server cannot check logins now.";
    AppPasswordRequired: User, Some(c::AUTHENTICATED), "The provider wants an app password, as two-step verification is on.", "Make an app password at {provider} and put it in Secret {secret}.";
    BasicAuthDisabled: User, Some(c::AUTHENTICATED), "The provider takes no passwords any more.", "{provider} takes no passwords here; use auth.type OAuth2.";
    OAuthTokenFailed: User, Some(c::CREDENTIALS_READY), "No access token could be had.", "[{cure}.][{fault}.]";
    ClientSecretExpired: User, Some(c::CREDENTIALS_READY), "The application's client secret has ended.", "Make a new client secret for application {client} at {provider}, and put its value into Secret {secret}.";
    RefreshTokenExpired: User, Some(c::CREDENTIALS_READY), "The refresh token is not taken any more.", "[Let the user consent anew at {anew}, and put the new refresh token into Secret {secret}.][ `kubectl mail login {by}` does both.][Run `kubectl mail login {login}`, and sign in anew.][ {often}.]";
    DeviceCodePending: User, Some(c::CREDENTIALS_READY), "Somebody has to sign in with a device code.", "Open {uri}, enter {code} before {until}, and sign in with the account; or run `kubectl mail login {login}`.";
    DeviceCodeExpired: User, Some(c::CREDENTIALS_READY), "Nobody signed in with the device code in time.", "Run `kubectl mail login {login}` for a new code.";
    DeviceCodeBlocked: User, Some(c::CREDENTIALS_READY), "The sign-in with a device code was declined, is not allowed, or could not give what is needed.", "[{cure}.][Where a policy blocks device codes, have it admit application {client}, or use grant ClientCredentials.] Run `kubectl mail login {login}` to try again.";
    ConsentRequired: User, Some(c::CREDENTIALS_READY), "The application lacks the consent that it needs.", "Have an administrator at {provider} consent to {scopes} for application {client}.";

    // The mailbox
    MailboxNotFound: User, Some(c::VERIFIED), "The mailbox does not exist for this account.", "The server has no mailbox {mailbox} for {user}; check mailbox.name, and that the account has a mailbox. {cure}.";
    MailboxAccessDenied: User, Some(c::VERIFIED), "The account may not open the mailbox.", "The server does not let {user} open the mailbox; enable {protocol} for the account[ at {provider}], or grant it the right to read. {cure}.";
    MailboxBusy: Transient, Some(c::VERIFIED), "Another session holds the mailbox.", "Another session holds the mailbox; POP3 admits one at a time. Close other mail clients of this account.";

    // Watching for a mail
    MessageNotReceived: Transient, Some(c::VERIFIED), "The mail was taken, and did not come in time.", "Not in {mailbox} after {timeout}[; sent at {sentAt}][, taken with {accepted}][, Message-ID {messageID}]. Greylisting, quarantine, transport rules, forwarding, or junk, which POP3 cannot see, may hold it. If mail is slow, raise verification.timeout, or use mode Manual.";
    MessageInJunk: User, Some(c::VERIFIED), "The mail came into a folder for junk.", "The mail was found in {folder}; put the sender[ {from}] on the mailbox's list of safe senders.";
    MessageBounced: User, Some(c::VERIFIED), "The mail came back.", "The mail[ to {recipient}] came back[ from {remote}][ with {status}][: {reply}].";
    MessageDelayed: Information, Some(c::VERIFIED), "A server on the way has not delivered the mail yet, and goes on trying.", "The mail is held up[ before {remote}][ with {status}][: {reply}]; the server goes on trying.";

    ActorOffline: Transient, Some(c::VERIFIED), "The actor's agent shows no sign of life.", "Nothing was heard of Actor {name} for a while; see `kubectl get actors`, and the log of its agent (`kubectl -n {namespace} logs deploy/mailverity-agent`).";
    ActorSuspended: Transient, Some(c::VERIFIED), "The actor is suspended.", "Actor {name} is given no work; set its spec.suspend: false.";
    AgentIncompatible: Transient, Some(c::VERIFIED), "The actor's agent and the operator do not understand each other.", "The agent of Actor {name} is of version {agent} and the operator of version {operator}: upgrade the one that is behind.";
    TaskTimedOut: Transient, Some(c::VERIFIED), "The actor's agent took the work and did not come to an end with it.", "The agent of Actor {name} took the task and did not finish it in time; see its log (`kubectl -n {namespace} logs deploy/mailverity-agent`).";
    SomeActorsUnverified: Transient, Some(c::VERIFIED), "Not every actor could verify it.", "{verified} of {all} actors verified; see status.actors for {names}.";

    // Round trips
    AwaitingReply: Information, Some(c::ROUND_TRIP_HEALTHY), "The first probe was sent, and its answer is waited for.", "An answer is waited for until the time in status.inFlight.deadline.";
    ReplyTimeout: Transient, Some(c::ROUND_TRIP_HEALTHY), "The mail was taken, and no answer came in time.", "Nothing came to {address} within {timeout}[; sent at {sentAt}][, taken with {accepted}][, Message-ID {messageID}]. Check that {to} answers: an out-of-office reply comes once in days to each sender, and a reply to mail that looks automatic may be held back. If answers are slow, raise timeout.";
    ReplyLate: Transient, Some(c::ROUND_TRIP_HEALTHY), "The answer came after its time, which is no success.", "The answer took {took} of {timeout}; raise timeout if that is what this path takes.";
    ReplyFromMismatch: Transient, Some(c::ROUND_TRIP_HEALTHY), "An answer came from another address than was asked.", "The answer came from {found}, not from {wanted}; if that is right, name it in match.senders.";
    ReplySubjectMissing: Transient, Some(c::ROUND_TRIP_HEALTHY), "An answer came without the probe's id in its subject.", "The answer's subject is {found}; the responder must keep the subject, or set match.containsSubject: false.";
    ReplyBodyMissing: Transient, Some(c::ROUND_TRIP_HEALTHY), "An answer came without the probe's text.", "The answer begins with {found}; the responder must quote the mail, or set match.containsBody: false.";
    MailboxUnseen: Transient, Some(c::ROUND_TRIP_HEALTHY), "The mailbox could not be looked into after the mail was sent.", "Nobody has looked into the mailbox of {user} in time: sessions over {protocol} are few, or the server was slow. Raise timeout, or let fewer policies wait in one mailbox.";
    SlowReply: Information, Some(c::DEGRADED), "The answer came in time, and took longer than slowAfter.", "The answer took {took}, more than slowAfter {slowAfter}; find the server on the way that holds it.";
    FromRewritten: Information, Some(c::FROM_REWRITTEN), "A server on the way writes another address into From.", "The mail was sent with From {from}, and came with {found}: the server that sends puts its account there. Set from, or the server's sender, to an address that the account may use.";
    ProbeLost: Transient, Some(c::ROUND_TRIP_HEALTHY), "The process that sent the mail ended before it knew what became of it, and no answer came.", "Whether the mail left is not known, and it is not sent again. The next probe is sent at its time.";

    // Receiving
    NoListener: Transient, Some(c::LISTENING), "No process listens for mail.", "No receiver is at work; see `kubectl -n {namespace} get pods -l app.kubernetes.io/component=receiver`, and that the operator was started with --receiver-namespace.";
    PortUnavailable: User, Some(c::LISTENING), "No receiver listens on the port that the spec names.", "The receivers listen on {list}; set listener.port to one of these, or start them with --listen for port {port}.";
    CertificateInvalid: User, Some(c::LISTENING), "The certificate for incoming mail cannot be used.", "Secret {secret} must hold a PEM certificate in tls.crt and its key in tls.key: {fault}.[ {kept}.]";
    CertificateKeyMismatch: User, Some(c::LISTENING), "The certificate for incoming mail and its key are not a pair.", "The key in Secret {secret} is not that of its certificate.[ {kept}.]";
    MXRecordMissing: User, Some(c::MX_RECORDS_VALID), "A domain has no MX record.", "Create: {domain}. MX 10 {expectedMX}.";
    MXPointsElsewhere: User, Some(c::MX_RECORDS_VALID), "The MX records of a domain name other servers.", "Create: {domain}. MX 10 {expectedMX}. Found: {list}.";

    // Sending
    SenderRejected: User, Some(c::DELIVERY_TESTED), "The server refuses the sender's address, whoever uses it.", "The server refuses From {from}; use an address of a domain that it serves.";
    SendAsDenied: User, Some(c::DELIVERY_TESTED), "The account may not use the sender's address.", "The server refuses From {from} for account {user}. Grant Send As, or use the account's own address.";
    RecipientRejected: User, Some(c::DELIVERY_TESTED), "The server refuses the recipient.", "The server refuses {to}; check the address.";
    RelayDenied: User, Some(c::DELIVERY_TESTED), "The server does not relay for this client or account.", "The server does not relay to {to} for us[ ({egressIP})]. Log in (auth), or have the address allowed to relay.";
    MessageRejected: User, Some(c::DELIVERY_TESTED), "The server refuses the mail.", "The server refused the mail; its words say why.";
    SenderAuthenticationFailed: User, Some(c::DELIVERY_TESTED), "SPF, DKIM or DMARC of the sender's domain fail.", "SPF, DKIM or DMARC of {domain} do not cover this server; publish the records that its provider names.";
    SendingBlocked: User, Some(c::DELIVERY_TESTED), "The provider blocks this account or address.", "The provider blocks this account or address; ask its support.";
    RateLimited: Transient, None, "The server says that this client or account does too much.", "This client or account does too much for the server[; next try at {next}].";
    Greylisted: Transient, None, "The server asks to come back later.", "The server greylists: it takes the mail at a later try. Next try at {next}.";
    ServerBusy: Transient, None, "The server is short of something.", "The server is short of something. Next try at {next}.";
    DeliveryUncertain: Transient, Some(c::DELIVERY_TESTED), "The connection was lost after the final dot: the mail may have gone.", "The mail may have gone. It is not sent again before the next interval or request.";
    MessageTooLarge: User, Some(c::DELIVERY_TESTED), "The mail is larger than the server takes.", "The server takes {max} bytes.";
    MailboxFull: User, Some(c::DELIVERY_TESTED), "The recipient's mailbox is full.", "{to} is full; make room, or name another address in test.to.";
    QuotaExceeded: User, Some(c::DELIVERY_TESTED), "The sending account used up its quota.", "The sending account[ {user}] used up its quota; wait, or have it raised.";
}

impl Reason {
    /// Who can help.
    #[must_use]
    pub fn class(self) -> Class {
        self.row().class
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
