//! STARTTLS: what was said before it counts no more, and another certificate needs no restart.

use std::{sync::Arc, time::SystemTime};

use mailverity::{
    mail::tls::{MinVersion, ServerIdentity},
    receiver::{Rules, Site, TlsMode},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{AsyncReadWrite, Client, receiver, site};

/// A certificate that signs itself, in PEM with its key.
pub fn pair(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn identity((chain, key): &(String, String)) -> ServerIdentity {
    ServerIdentity::from_pem(chain.as_bytes(), key.as_bytes(), MinVersion::default(), SystemTime::now()).unwrap()
}

fn with_tls(mode: TlsMode, pair: &(String, String)) -> Rules {
    Rules::new("mx.example.org", vec![Site { tls: mode, identity: Some(identity(pair)), ..site("example.org") }])
}

/// Shakes hands as a client that trusts this certificate alone.
pub async fn handshake(
    socket: Box<dyn AsyncReadWrite>,
    chain: &str,
    name: &str,
) -> std::io::Result<TlsStream<Box<dyn AsyncReadWrite>>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(mailverity::mail::tls::certificates(chain.as_bytes()).unwrap());
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), socket).await
}

/// Up to the reply to STARTTLS, and what is sent with it.
pub async fn asked(address: std::net::SocketAddr, injected: &str) -> Box<dyn AsyncReadWrite> {
    let mut client = Client::connect(address).await;
    client
        .plays("S: 220 *\nC: EHLO a.test\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250-STARTTLS\nS: 250-*\nS: 250-*\nS: 250-*\nS: 250 *")
        .await;
    client.plays(&format!("C: STARTTLS\n{injected}\nS: 220 2.0.0 *")).await;
    client.into_socket()
}

const AFTER: &str = "
    C: EHLO a.test
    S: 250-mx.example.org
    S: 250-PIPELINING
    S: 250-SIZE *
    S: 250-ENHANCEDSTATUSCODES
    S: 250-8BITMIME
    S: 250-SMTPUTF8
    S: 250 CHUNKING
    C: STARTTLS
    S: 503 5.5.1 *
    C: MAIL FROM:<>
    C: RCPT TO:<notify@example.org>
    C: DATA
    S: 250 *
    S: 250 *
    S: 354 *
    C: .
    S: 250 *
";

#[tokio::test]
async fn mail_comes_in_by_tls_and_tells_so() {
    let pair = pair("mx.example.org");
    let world = receiver(|options| options.rules = with_tls(TlsMode::Opportunistic, &pair)).await;
    let socket = asked(world.running.address, "").await;
    Client::on(handshake(socket, &pair.0, "mx.example.org").await.unwrap()).plays(AFTER).await;
    assert_eq!(world.mails()[0].peer.tls.as_ref().unwrap().0, "TLSv1.3");
    // Those who want none may go without.
    world.plays("S: 220 *\nC: HELO a.test\nC: MAIL FROM:<>\nC: RCPT TO:<notify@example.org>\nS: 250 *\nS: 250 *\nS: 250 *").await;
}

#[tokio::test]
async fn what_is_said_before_tls_counts_no_more() {
    let pair = pair("mx.example.org");
    let world = receiver(|options| options.rules = with_tls(TlsMode::Opportunistic, &pair)).await;
    // Put behind STARTTLS by somebody in between: these would be the first commands inside TLS.
    let injected =
        "C: EHLO evil.test\nC: MAIL FROM:<evil@evil.test>\nC: RCPT TO:<notify@example.org>\nC: DATA\nC: Subject: evil\nC: .";
    let socket = asked(world.running.address, injected).await;
    let mut client = Client::on(handshake(socket, &pair.0, "mx.example.org").await.unwrap());
    // No greeting counts either, and there is no reply to anything but this.
    client.plays("C: MAIL FROM:<>\nS: 503 5.5.1 *").await;
    client.plays(AFTER).await;
    assert_eq!(world.mails().len(), 1);
    assert_eq!(world.mails()[0].peer.helo, "a.test");
}

#[tokio::test]
async fn where_tls_is_required_nothing_goes_without() {
    let pair = pair("mx.example.org");
    let world = receiver(|options| options.rules = with_tls(TlsMode::Required, &pair)).await;
    world
        .plays(
            "S: 220 *
             C: HELO a.test
             S: 250 *
             C: NOOP
             S: 250 *
             C: MAIL FROM:<>
             S: 530 5.7.0 *
             C: VRFY notify
             S: 530 5.7.0 *
             C: BDAT 6 LAST
             C> a\\r\\nb\\r\\n
             S: 530 5.7.0 *
             C: QUIT
             S: 221 *",
        )
        .await;
    let socket = asked(world.running.address, "").await;
    Client::on(handshake(socket, &pair.0, "mx.example.org").await.unwrap()).plays(AFTER).await;
    // Without a certificate mail has to wait, and is not refused for good.
    let none = Site { tls: TlsMode::Required, ..site("example.org") };
    world.running.apply(Rules::new("mx.example.org", vec![none]));
    world.plays("S: 220 *\nC: STARTTLS\nS: 454 4.7.0 *\nC: HELO a.test\nS: 250 *\nC: MAIL FROM:<>\nS: 454 4.7.0 *").await;
}

#[tokio::test]
async fn another_certificate_counts_from_the_next_handshake_on() {
    let (old, new) = (pair("mx.example.org"), pair("mx.example.org"));
    let world = receiver(|options| options.rules = with_tls(TlsMode::Opportunistic, &old)).await;
    let socket = asked(world.running.address, "").await;
    let mut kept = Client::on(handshake(socket, &old.0, "mx.example.org").await.unwrap());
    world.running.apply(with_tls(TlsMode::Opportunistic, &new));
    let socket = asked(world.running.address, "").await;
    assert!(handshake(socket, &old.0, "mx.example.org").await.is_err());
    let socket = asked(world.running.address, "").await;
    Client::on(handshake(socket, &new.0, "mx.example.org").await.unwrap()).plays(AFTER).await;
    kept.plays(AFTER).await;
}

#[tokio::test]
async fn each_site_shows_its_own_certificate_to_who_asks_for_it() {
    let (one, two) = (pair("mx.one.test"), pair("mx.two.test"));
    let of = |domain: &str, pair| Site { tls: TlsMode::Opportunistic, identity: Some(identity(pair)), ..site(domain) };
    let both = Rules::new("mx.example.org", vec![of("one.test", &one), of("two.test", &two)]);
    let world = receiver(|options| options.rules = both).await;
    for (name, pair) in [("mx.one.test", &one), ("mx.two.test", &two)] {
        let socket = asked(world.running.address, "").await;
        handshake(socket, &pair.0, name).await.unwrap();
    }
}
