//! What a spec names: Secrets, bundles, Actors. What is missing or wrong is told before anything touches the network.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use mailverity::{
    api::{
        Reason::{
            ActorNotFound, CABundleInvalid, CABundleNotFound, ClientCertificateInvalid, NoActorSelected, OAuthTokenFailed,
            SecretHostNotAllowed, SecretInvalid, SecretKeyMissing, SecretNotFound, SpecInvalid,
        },
        v1alpha1::{ALLOWED_HOSTS, ActorRef, AuthType, CaKind, ClientCertificateRef, Security, Verification},
    },
    mail::Stage::Secrets,
};

use crate::{
    certificates,
    rows::{Row, play, row},
    world::{PASSWORD, USER, World, login, starttls, stored},
};

fn without_secret() -> World {
    let mut world = login();
    world.kept.secrets.clear();
    world
}

fn account(data: &[(&str, &str)]) -> World {
    login().secret("account", stored(data))
}

fn pinned(hosts: &str) -> World {
    let mut secret = stored(&[("username", USER), ("password", PASSWORD)]);
    secret.annotations.insert(ALLOWED_HOSTS.to_owned(), hosts.to_owned());
    login().secret("account", secret)
}

fn with_bundle(pem: &str) -> World {
    let mut world = starttls();
    world.kept.config_maps.insert("ca".to_owned(), stored(&[("ca.crt", pem)]));
    world
}

fn without_bundle() -> World {
    let mut world = starttls();
    world.kept.config_maps.clear();
    world
}

fn with_bundle_under_another_key() -> World {
    starttls().tls(|tls| tls.ca_ref.as_mut().unwrap().key = "bundle.pem".to_owned())
}

fn with_bundle_in_a_secret() -> World {
    starttls().tls(|tls| tls.ca_ref.as_mut().unwrap().kind = CaKind::Secret)
}

/// With a certificate of the client's own and another's key.
fn with_another_key() -> World {
    let [one, other] = [certificates::client(true), certificates::client(true)];
    with_client(&[("tls.crt", &one.chain_pem()), ("tls.key", &other.key.serialize_pem())])
}

fn with_client(data: &[(&str, &str)]) -> World {
    let reference = ClientCertificateRef { name: "client".to_owned() };
    starttls().secret("client", stored(data)).tls(|tls| tls.client_certificate_ref = Some(reference))
}

fn without_client() -> World {
    let mut world = with_client(&[]);
    world.kept.secrets.remove("client");
    world
}

fn by_another_actor() -> World {
    let actors = Some(vec![ActorRef { name: "dmz".to_owned() }]);
    starttls().edit(|spec| spec.verification = Some(Verification { actors, ..Verification::default() }))
}

fn by_selected_actors() -> World {
    let labels = std::collections::BTreeMap::from([("mailverity.dev/zone".to_owned(), "dmz".to_owned())]);
    let actor_selector = Some(LabelSelector { match_labels: Some(labels), ..LabelSelector::default() });
    starttls().edit(|spec| spec.verification = Some(Verification { actor_selector, ..Verification::default() }))
}

fn pinned_and_unverified() -> World {
    pinned("mx.test").tls(|tls| {
        tls.ca_ref = None;
        tls.insecure_skip_verify = Some(true);
    })
}

fn by_token() -> World {
    let oauth2 =
        serde_json::json!({"provider": "Custom", "grant": "ClientCredentials", "clientID": "us", "tokenURL": "https://id.test/"});
    login().auth(|auth| {
        auth.r#type = AuthType::OAuth2;
        auth.oauth2 = Some(serde_json::from_value(oauth2).unwrap());
    })
}

fn required() -> World {
    World { require_allowed_hosts: true, ..login() }
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(SecretNotFound, Secrets, "there is no Secret mail/account", without_secret, ""),
    row(SecretKeyMissing, Secrets, "lacks password", || account(&[("username", USER), ("pasword", PASSWORD)]), ""),
    row(SecretKeyMissing, Secrets, "lacks username, password", || account(&[]), ""),
    row(SecretInvalid, Secrets, "key password of Secret mail/account is empty", || account(&[("username", USER), ("password", "")]), ""),
    row(SecretInvalid, Secrets, "ends in a newline", || account(&[("username", USER), ("password", "secret\n")]), ""),
    row(SecretInvalid, Secrets, "ends in a newline", || account(&[("username", "relay\r\n"), ("password", PASSWORD)]), ""),
    row(SecretInvalid, Secrets, "NUL", || account(&[("username", USER), ("password", "a\0b")]), ""),
    row(SecretInvalid, Secrets, "no UTF-8", in_latin_1, ""),
    row(SecretHostNotAllowed, Secrets, "the annotation does not name it", || pinned("smtp.other.test, mx2.test"), ""),
    row(SecretHostNotAllowed, Secrets, "only through verified TLS", || pinned("MX.test.").security(Security::None), ""),
    row(SecretHostNotAllowed, Secrets, "only through verified TLS", pinned_and_unverified, ""),
    row(SecretHostNotAllowed, Secrets, "alt1.mx.test", || pinned("mx.test").alternate("S: 220 never asked"), ""),
    row(SecretHostNotAllowed, Secrets, "this installation demands the annotation", required, ""),
    row(CABundleNotFound, Secrets, "there is no ConfigMap ca", without_bundle, ""),
    row(CABundleNotFound, Secrets, "there is no Secret ca", with_bundle_in_a_secret, ""),
    row(CABundleNotFound, Secrets, "ConfigMap ca has no key bundle.pem", with_bundle_under_another_key, ""),
    row(CABundleInvalid, Secrets, "holds no PEM certificate", || with_bundle("no certificate"), ""),
    row(CABundleInvalid, Secrets, "holds no PEM certificate", || with_bundle("-----BEGIN CERTIFICATE-----\n####\n-----END CERTIFICATE-----\n"), ""),
    row(SecretNotFound, Secrets, "there is no Secret mail/client", without_client, ""),
    row(SecretKeyMissing, Secrets, "lacks tls.crt, tls.key", || with_client(&[]), ""),
    row(ClientCertificateInvalid, Secrets, "tls.crt holds no PEM certificate", || with_client(&[("tls.crt", "x"), ("tls.key", "x")]), ""),
    row(ClientCertificateInvalid, Secrets, "does not belong to the certificate", with_another_key, ""),
    row(ActorNotFound, Secrets, "there is no Actor dmz", by_another_actor, ""),
    row(NoActorSelected, Secrets, "matches no Actor", by_selected_actors, ""),
    row(OAuthTokenFailed, Secrets, "no access tokens are fetched here", by_token, ""),
    row(SpecInvalid, Secrets, "needs auth.oauth2", || login().auth(|auth| auth.r#type = AuthType::OAuth2), ""),
    row(SpecInvalid, Secrets, "exactly one of host or url", || starttls().edit(|spec| spec.host = None), ""),
    row(SpecInvalid, Secrets, "url must look like", || starttls().edit(|spec| spec.url = Some("http://mx.test".to_owned())), ""),
    row(SpecInvalid, Secrets, "host is no name", || starttls().edit(|spec| spec.host = Some("mx.test/path".to_owned())), ""),
    row(SpecInvalid, Secrets, "a port is between 1 and 65535", || starttls().edit(|spec| spec.port = Some(0)), ""),
];

fn in_latin_1() -> World {
    let mut secret = stored(&[("username", USER)]);
    secret.data.insert("password".to_owned(), b"M\xfcller".to_vec());
    login().secret("account", secret)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_that_is_missing_or_wrong_is_told_before_the_network_is_touched() {
    play(ROWS).await;
    for row in ROWS {
        let played = (row.world)().plays("-- greets, offering nothing").await;
        assert_eq!(played.heard.iter().map(|heard| heard.connections).sum::<usize>(), 0, "{}", row.words);
        assert!(!format!("{:?} {}", played.report, played.failure().hint()).contains(PASSWORD));
    }
}
