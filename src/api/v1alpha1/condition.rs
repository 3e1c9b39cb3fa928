//! The condition types, in the one spelling that CRDs, code, metrics and documentation share.

/// Summary: whether the object does what its spec asks.
pub const READY: &str = "Ready";
/// Whether the spec makes sense as a whole.
pub const ACCEPTED: &str = "Accepted";
/// Whether the settings were proved to work.
pub const VERIFIED: &str = "Verified";
/// Whether everything that the spec names was found and may be used.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// Whether a credential could be had: read, or fetched from a token provider.
pub const CREDENTIALS_READY: &str = "CredentialsReady";
/// Whether the server answers in the protocol that was asked for.
pub const REACHABLE: &str = "Reachable";
/// Whether TLS stands as the spec demands.
pub const TLS_VALID: &str = "TLSValid";
/// Whether the login was taken.
pub const AUTHENTICATED: &str = "Authenticated";
/// Whether the server took a test mail.
pub const DELIVERY_TESTED: &str = "DeliveryTested";
/// Whether right answers to probes come in time.
pub const ROUND_TRIP_HEALTHY: &str = "RoundTripHealthy";
/// Whether a process listens for mail.
pub const LISTENING: &str = "Listening";
/// Whether the MX records of all domains name the receiver.
pub const MX_RECORDS_VALID: &str = "MXRecordsValid";
/// Present when True: nothing is sent or checked.
pub const SUSPENDED: &str = "Suspended";
/// Present when True: the server's certificate ends soon.
pub const CERTIFICATE_EXPIRING: &str = "CertificateExpiring";
/// Present when True: the secret or certificate by which an application proves itself ends soon.
pub const CREDENTIAL_EXPIRING: &str = "CredentialExpiring";
/// Present when True: the provider has announced the end of passwords.
pub const BASIC_AUTH_RETIRING: &str = "BasicAuthRetiring";
/// Present when True: a refused credential is not tried for a while.
pub const CREDENTIAL_HELD: &str = "CredentialHeld";
/// SPF, DKIM or DMARC speak for the sender's domain, as the receiving server wrote.
pub const SENDER_ALIGNED: &str = "SenderAligned";
/// Present when True: a server on the way writes another address into From.
pub const FROM_REWRITTEN: &str = "FromRewritten";
/// Present when True: it works, but not as it should.
pub const DEGRADED: &str = "Degraded";
/// Present when True: a new generation is not judged yet (kstatus).
pub const RECONCILING: &str = "Reconciling";
/// Present when True: only a change by the user helps (kstatus).
pub const STALLED: &str = "Stalled";
