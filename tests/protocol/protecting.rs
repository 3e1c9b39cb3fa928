//! TLS: asking for it, shaking hands, and judging the certificate.

use mailverity::{
    api::{
        Reason::{
            CertificateChainIncomplete, CertificateExpired, CertificateNotYetValid, CertificateUntrusted,
            ClientCertificateRejected, ClientCertificateRequired, ConnectionClosed, ConnectionReset, HostnameMismatch,
            ProtocolError, ResponseTimedOut, StartTLSInjection, StartTLSNotOffered, StartTLSRefused, TLSHandshakeFailed,
            TLSRequired, TLSVersionUnsupported,
        },
        v1alpha1::Mechanism,
    },
    mail::Stage::{Auth, Banner, Ehlo2, ImplicitTls, Mail, StartTls, Tls},
};

use crate::{
    rows::{Row, play, row},
    world::{World, deliver, implicit, plain, starttls},
};

fn tls_1_3() -> World {
    starttls().tls(|tls| tls.min_version = Some("1.3".to_owned()))
}

fn with_unknown_certificate() -> World {
    starttls().client_certificate(false)
}

fn nameless() -> World {
    starttls().edit(|spec| spec.host = Some("mx-.test".to_owned()))
}

fn cram_md5() -> World {
    plain().logging_in().mechanisms(&[Mechanism::CramMd5])
}

/// A conversation up to the 220 of STARTTLS.
macro_rules! asked {
    ($rest:literal) => {
        concat!(
            "
            -- greets, offering STARTTLS
            C: STARTTLS
            S: 220 2.0.0 Ready to start TLS
            ",
            $rest
        )
    };
}

/// A `ServerHello` of TLS 1.0 (RFC 2246 section 7.4.1.3): record, handshake, version, 32 bytes, no session, cipher, compression.
const TLS_1_0: &str = concat!(
    asked!("-- sees a TLS hello"),
    "\n-- says ",
    r"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01",
    "0123456789abcdef0123456789abcdef",
    r"\x00\x00\x2f\x00"
);

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // The command
    row(StartTLSNotOffered, StartTls, "EHLO did not offer STARTTLS", starttls, "
        -- greets, offering SIZE 1000, AUTH PLAIN
    "),
    row(StartTLSNotOffered, StartTls, "EHLO did not offer STARTTLS", starttls, "
        S: 220 mx.test ESMTP
        C: EHLO *
        S: 502 5.5.2 Error: command not recognized
        C: HELO *
        S: 250-mx.test
        S: 250 STARTTLS
    "),
    row(StartTLSRefused, StartTls, "454 4.7.0 TLS not available due to local problem", starttls, "
        -- greets, offering STARTTLS
        C: STARTTLS
        S: 454 4.7.0 TLS not available due to local problem
    "),
    row(StartTLSRefused, StartTls, "554 5.7.3 Unable to initialize security subsystem", starttls, "
        -- greets, offering STARTTLS
        C: STARTTLS
        S: 554 5.7.3 Unable to initialize security subsystem
    "),
    row(ProtocolError, StartTls, "250 2.0.0 Ok", starttls, "
        -- greets, offering STARTTLS
        C: STARTTLS
        S: 250 2.0.0 Ok
    "),
    row(ResponseTimedOut, StartTls, "said nothing", starttls, "
        TIME: 2s
        -- greets, offering STARTTLS
        C: STARTTLS
        -- hangs
    "),
    row(TLSRequired, Mail, "530 5.7.0 Must issue a STARTTLS command first", deliver, "
        -- greets, offering STARTTLS
        C: MAIL FROM:*
        S: 530 5.7.0 Must issue a STARTTLS command first
    "),
    row(TLSRequired, Auth, "538 5.7.11 Encryption required for requested authentication mechanism", cram_md5, "
        -- greets, offering STARTTLS, AUTH CRAM-MD5
        C: AUTH CRAM-MD5
        S: 538 5.7.11 Encryption required for requested authentication mechanism
    "),
    // Plain text behind the reply: in the same segment, and in a later one
    row(StartTLSInjection, Tls, "250 2.1.0 injected", starttls, "
        -- greets, offering STARTTLS
        C: STARTTLS
        S: 220 2.0.0 Ready to start TLS
        S: 250 2.1.0 injected
        -- TLS good
    "),
    row(StartTLSInjection, Tls, "250 2.1.0 injected", starttls, asked!("
        -- sees a TLS hello
        S: 250 2.1.0 injected
    ")),
    // The handshake
    row(TLSHandshakeFailed, Tls, "alert HandshakeFailure", starttls, asked!(r"
        -- sees a TLS hello
        -- says \x15\x03\x03\x00\x02\x02\x28
    ")),
    row(TLSHandshakeFailed, Tls, "InternalError", starttls, asked!(r"
        -- sees a TLS hello
        -- says \x15\x03\x03\x00\x02\x02\x50
    ")),
    row(TLSHandshakeFailed, Tls, "unexpected handshake message", starttls, asked!(r"
        -- sees a TLS hello
        -- says \x16\x03\x03\x00\x04\x63\x00\x00\x00
        -- closes
    ")),
    row(TLSHandshakeFailed, Tls, "not for servers", starttls, asked!("-- TLS for clients only")),
    row(TLSHandshakeFailed, Tls, "no name that a certificate can carry", nameless, asked!("")),
    row(ConnectionClosed, Tls, "closed the connection in the TLS handshake", starttls, asked!("
        -- sees a TLS hello
        -- closes
    ")),
    row(ConnectionReset, Tls, "reset in the TLS handshake", starttls, asked!("
        -- sees a TLS hello
        -- resets
    ")),
    row(ResponseTimedOut, Tls, "did not finish the TLS handshake", starttls, concat!(
            "TIME: 2s\n",
            asked!(
                "
        -- sees a TLS hello
        -- hangs
    "
            )
        ),
    ),
    row(ResponseTimedOut, ImplicitTls, "did not finish the TLS handshake", implicit, "
        TIME: 2s
        -- sees a TLS hello
        -- hangs
    "),
    row(TLSVersionUnsupported, Tls, "refused the version", starttls, asked!(r"
        -- sees a TLS hello
        -- says \x15\x03\x01\x00\x02\x02\x46
    ")),
    row(TLSVersionUnsupported, Tls, "the server speaks TLSv1.0, not 1.2 or later", starttls, TLS_1_0),
    row(TLSVersionUnsupported, Tls, "refused", tls_1_3, asked!("-- TLS 1.2 good")),
    // The certificate
    row(CertificateExpired, Tls, "the certificate of CN=mx.test ended at 2021-01-02T00:00:00Z", starttls, asked!("-- TLS ended in 2021")),
    row(CertificateExpired, ImplicitTls, "ended at 2021-01-02T00:00:00Z", implicit, "-- TLS ended in 2021"),
    row(CertificateExpired, Tls, "the certificate of CN=Old CA ended at 2020-01-01", starttls, asked!("-- TLS with an intermediate that ended")),
    row(CertificateNotYetValid, Tls, "is not valid before 2098-01-02T00:00:00Z", starttls, asked!("-- TLS begins in 2098")),
    row(CertificateUntrusted, Tls, "issuer CN=Nobody's Root is not trusted", starttls, asked!("-- TLS of an unknown CA")),
    row(CertificateUntrusted, Tls, "self-signed", starttls, asked!("-- TLS self-signed")),
    row(CertificateChainIncomplete, Tls, "the certificate of CN=Test Intermediate CA", starttls, asked!("-- TLS without its intermediate")),
    row(CertificateChainIncomplete, Tls, "R3", starttls, asked!("-- TLS without its CA of the root's organisation")),
    row(HostnameMismatch, Tls, "the certificate is for other.test, not mx.test", starttls, asked!("-- TLS for other.test")),
    row(HostnameMismatch, Tls, "no subjectAltName (its subject CN=mx.test does not count)", starttls, asked!("-- TLS without names")),
    // More than one fault: untrusted before out of time before wrong name, and all of them told
    row(CertificateUntrusted, Tls, "is not trusted; the certificate of CN=other.test ended at 2021-01-02T00:00:00Z; the certificate is for other.test, not mx.test", starttls, asked!("-- TLS of an unknown CA, ended in 2021, for other.test")),
    row(CertificateExpired, Tls, "ended at 2021-01-02T00:00:00Z; the certificate is for other.test, not mx.test", starttls, asked!("-- TLS ended in 2021, for other.test")),
    // Our own certificate. TLS 1.3 lets the client finish first: the refusal comes in place of the next answer.
    row(ClientCertificateRequired, Ehlo2, "client certificate", starttls, asked!("-- TLS wants a client certificate")),
    row(ClientCertificateRequired, Tls, "client certificate", starttls, asked!("-- TLS 1.2 wants a client certificate")),
    row(ClientCertificateRequired, Banner, "client certificate", implicit, "-- TLS wants a client certificate"),
    row(ClientCertificateRejected, Ehlo2, "UnknownCA", with_unknown_certificate, asked!("-- TLS wants a client certificate")),
    row(ClientCertificateRejected, Tls, "UnknownCA", with_unknown_certificate, asked!("-- TLS 1.2 wants a client certificate")),
    // Inside
    row(ResponseTimedOut, Ehlo2, "said nothing", starttls, concat!(
            "TIME: 2s\n",
            asked!(
                "
        -- TLS good
        C: EHLO *
        -- hangs
    "
            )
        ),
    ),
    row(ConnectionClosed, Ehlo2, "closed the connection", starttls, asked!("
        -- TLS good
        C: EHLO *
        -- closes
    ")),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_that_is_missing_broken_or_not_to_be_trusted_is_told_by_its_reason() {
    play(ROWS).await;
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_described_all_the_same() {
    for (server, subject, issuer, names) in [
        ("ended in 2021", "CN=mx.test", "CN=Test Root, O=Test Mail Ltd", "mx.test"),
        ("for other.test", "CN=other.test", "CN=Test Root, O=Test Mail Ltd", "other.test"),
        ("of an unknown CA", "CN=mx.test", "CN=Nobody's Root", "mx.test"),
        ("without its intermediate", "CN=mx.test", "CN=Test Intermediate CA", "mx.test"),
        ("good", "CN=mx.test", "CN=Test Root, O=Test Mail Ltd", "mx.test"),
    ] {
        let talk = format!("-- TLS {server}\n-- greets, offering nothing");
        let report = implicit().plays(&talk).await.report;
        let tls = report.tls.expect("what the server showed");
        assert_eq!(tls.subject.as_deref(), Some(subject), "{server}");
        assert_eq!(tls.issuer.as_deref(), Some(issuer), "{server}");
        assert_eq!(tls.dns_names.first().map(String::as_str), Some(names), "{server}");
        assert_eq!(tls.not_before.as_deref(), Some("2020-01-02T00:00:00Z"), "{server}");
        let end = if server == "ended in 2021" { "2021-01-02T00:00:00Z" } else { "2099-01-02T00:00:00Z" };
        assert_eq!(tls.not_after.as_deref(), Some(end), "{server}");
        assert_eq!(tls.sha256.map(|hash| hash.len()), Some(64), "{server}");
        assert_eq!(tls.version.is_some(), server == "good", "{server}");
        assert_eq!(report.tls_verified, server == "good", "{server}");
    }
}

#[tokio::test]
async fn good_certificates_of_many_kinds_are_taken() {
    for (world, talk) in [
        (starttls(), "-- greets, offering STARTTLS\n-- protects, offering SIZE"),
        (starttls(), asked!("-- TLS 1.2 good\n-- greets inside\n")),
        (implicit(), "-- TLS with its intermediate\n-- greets, offering nothing"),
        (implicit().client_certificate(true), "-- TLS wants a client certificate\n-- greets, offering nothing"),
        (implicit().client_certificate(true), "-- TLS 1.2 wants a client certificate\n-- greets, offering nothing"),
        (
            implicit().tls(|tls| tls.server_name = Some("other.test".to_owned())),
            "-- TLS for other.test\n-- greets, offering nothing",
        ),
        (implicit().edit(|spec| spec.host = Some("127.0.0.1".to_owned())), "-- TLS good\n-- greets, offering nothing"),
        (tls_1_3(), "-- greets, offering STARTTLS\n-- protects, offering SIZE"),
    ] {
        let talk = talk.replace("-- greets inside", "C: EHLO *\nS: 250 mx.test");
        let played = world.plays(&talk).await;
        played.verified();
        assert!(played.report.tls_verified, "{talk}");
    }
}

#[tokio::test]
async fn what_is_not_verified_is_taken_and_told_as_not_verified() {
    let world = implicit().tls(|tls| {
        tls.ca_ref = None;
        tls.insecure_skip_verify = Some(true);
    });
    let played = world.plays("-- TLS of an unknown CA, ended in 2021, for other.test\n-- greets, offering AUTH PLAIN").await;
    assert!(!played.verified().report.tls_verified);
    assert_eq!(played.report.tls.as_ref().unwrap().subject.as_deref(), Some("CN=other.test"));
}
