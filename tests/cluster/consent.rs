//! People who consent in a browser on their own machine (RFC 8252), at the pages of a real `OpenID` provider: what they are told, and
//! what is put where.

use std::{path::Path, process::Stdio};

use mailverity::api::v1alpha1::MailServerStatus;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout},
};

use super::{
    plugin::{Ran, administrator, command, mail_as, user},
    spec,
    support::{
        cluster::{Cluster, Operator, is, message},
        connect::Connect,
        identity::Identity,
        leaks,
        profiles::says,
        stack::Stack,
    },
};

struct World {
    stack: Stack,
    identity: Identity,
    cluster: Cluster,
}

/// `kubectl mail login` while it runs.
struct Login {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    err: ChildStderr,
    out: String,
}

impl World {
    async fn new(test: &str) -> Self {
        let (stack, identity, cluster) = (Stack::get(), Identity::get(), Cluster::new(test).await);
        cluster.ca(&stack.ca()).await;
        let app = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"},
            "stringData": {"clientSecret": Identity::secret("alice-desktop")}});
        cluster.apply(app).await;
        Self { stack, identity, cluster }
    }

    async fn operator(&self) -> Operator {
        self.cluster.operator(&self.identity.flags().iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// A `MailServer` of which a client's user consents; what is in `rest` is replaced in `auth.oauth2`, or left out where it is null.
    async fn server(&self, name: &str, client: &str, rest: Value) {
        let mut auth = self.identity.consent_auth(client, "consent");
        for (key, value) in rest.as_object().unwrap() {
            auth["oauth2"][key] = value.clone();
        }
        auth["oauth2"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.cluster.server(name, spec(&self.stack, "SUBMISSION_PORT", "StartTLS", json!({ "auth": auth }))).await;
    }

    fn login(&self, args: &[&str]) -> Login {
        self.login_with(&[], args)
    }

    fn login_with(&self, env: &[(&str, &str)], args: &[&str]) -> Login {
        let args = [&["login", "--timeout", "2m", "--token-ca-file", self.identity.var("CA_FILE")], args].concat();
        let mut command = command(&self.cluster, &administrator(&self.cluster), &args);
        command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = child.stderr.take().unwrap();
        Login { child, lines, err, out: String::new() }
    }

    fn as_somebody(&self, who: &Path, args: &[&str]) -> Ran {
        mail_as(&self.cluster, who, &[&["login", "--token-ca-file", self.identity.var("CA_FILE")], args].concat())
    }

    /// What is in the Secret that the objects name, by key.
    async fn kept(&self) -> Option<Vec<(String, String)>> {
        let data = self.cluster.secrets().get_opt("consent").await.unwrap()?.data.unwrap_or_default();
        Some(data.into_iter().map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect())
    }
}

/// A person with a browser. Returns where that came to in the end, and what it shows.
async fn person(page: String, consents: bool) -> (String, String) {
    tokio::task::spawn_blocking(move || Identity::get().browse(&page, consents)).await.unwrap()
}

impl Login {
    /// The page that is to be opened.
    async fn page(&mut self) -> String {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.out.extend([line.as_str(), "\n"]);
            if line.starts_with("https://") {
                return line;
            }
        }
        let mut err = String::new();
        self.err.read_to_string(&mut err).await.unwrap();
        panic!("no page is named: {}{err}", self.out);
    }

    async fn ended(mut self) -> Ran {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.out.extend([line.as_str(), "\n"]);
        }
        let mut err = String::new();
        self.err.read_to_string(&mut err).await.unwrap();
        let ran = Ran { code: self.child.wait().await.unwrap().code().unwrap(), out: self.out, err };
        leaks::none_in("kubectl mail", &(ran.out.clone() + &ran.err));
        ran
    }
}

/// The value of a field in the query of a URL.
fn field<'a>(url: &'a str, name: &str) -> &'a str {
    let fields = url.split_once('?').unwrap().1.split('&').filter_map(|pair| pair.split_once('='));
    fields.into_iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{url} has no {name}")).1
}

/// Where the browser is to come back to, as it stands in the page's URL.
fn redirect(page: &str) -> String {
    field(page, "redirect_uri").replace("%3A", ":").replace("%2F", "/")
}

async fn get(url: String) -> String {
    let curl = tokio::process::Command::new("curl").args(["-sS", "-w", "\n%{http_code}", &url]).output().await.unwrap();
    String::from_utf8(curl.stdout).unwrap()
}

fn is_verified(status: &MailServerStatus) -> bool {
    is(status, "Ready", "True", "Succeeded") && is(status, "CredentialsReady", "True", "TokenAcquired")
}

#[tokio::test]
async fn a_person_consents_in_a_browser_and_the_server_is_verified() {
    let world = World::new("consent").await;
    let operator = world.operator().await;
    world.server("relay", "alice-desktop", json!({})).await;
    let status = world.cluster.condition("relay", "Ready", "False", "SecretNotFound").await;
    assert!(message(&status, "Ready").ends_with(". `kubectl mail login ms/relay` does it."), "{status:#?}");

    let mut login = world.login(&["ms/relay"]);
    let page = login.page().await;
    assert!(
        page.starts_with(&format!("{}?response_type=code&client_id=alice-desktop&", world.identity.var("PAGE_URL"))),
        "{page}"
    );
    assert_eq!((field(&page, "login_hint"), field(&page, "code_challenge_method")), ("alice%40example.test", "S256"));
    // Somebody else's answers, and what browsers ask on their own.
    let back = redirect(&page);
    assert!(back.starts_with("http://127.0.0.1:"), "{back}");
    for (path, status) in
        [("/?code=stolen&state=guessed", 400), ("/?code=stolen", 400), ("/?error=access_denied", 400), ("/favicon.ico", 404)]
    {
        let answer = get(format!("{back}{path}")).await;
        assert!(answer.ends_with(&format!("\n{status}")), "{path}: {answer}");
    }
    let (came, shown) = person(page.clone(), true).await;
    assert!(shown.contains("You may close this page"), "{came}: {shown}");
    let ran = login.ended().await;
    let namespace = &world.cluster.namespace;
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!((ran.code, lines.len(), ran.err.as_str()), (0, 5, ""), "{}", ran.out);
    assert_eq!(
        lines[0],
        format!("The refresh token will be asked of localhost, and kept in Secret {namespace}/consent, key refresh_token.")
    );
    assert_eq!(lines[1], "Open this page in a browser on this machine, and sign in as alice@example.test:");
    assert_eq!(lines[3], format!("MailServer relay: the refresh token is in Secret {namespace}/consent, key refresh_token."));
    assert!(lines[4].starts_with("MailServer relay: Succeeded: "), "{}", ran.out);
    let status = world.cluster.status("relay").await;
    assert!(is_verified(&status), "{status:#?}");

    // What must be seen by nobody: beside the page's own address nothing has the state.
    let kept = world.kept().await.unwrap();
    assert_eq!(kept.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["refresh_token"]);
    let status = serde_json::to_string(&status).unwrap() + &serde_json::to_string(&world.cluster.events().await).unwrap();
    let told = ran.out.replace(&page, "") + &status + &operator.log();
    for secret in [field(&came, "code"), field(&came, "state"), &kept[0].1] {
        assert!(secret.len() > 20 && !told.contains(secret), "a code, a state or a refresh token is shown: {told}");
    }
    world.cluster.shows_no_secret().await;
    operator.shows_no_secret().await;
}

#[tokio::test]
async fn a_consent_takes_the_place_of_one_that_has_ended_and_of_nothing_else_in_its_secret() {
    let world = World::new("consent-anew").await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "consent", "labels": {"team": "mail"}},
        "stringData": {"refresh_token": "over", "more": "of ours"}});
    world.cluster.apply(secret).await;
    let _operator = world.operator().await;
    world.server("relay", "alice-native", json!({})).await;
    let status = world.cluster.condition("relay", "Ready", "False", "RefreshTokenExpired").await;
    assert!(status.credential_held_until.is_some(), "{status:#?}");
    assert!(message(&status, "Ready").contains(". `kubectl mail login ms/relay` does both."), "{status:#?}");

    // By a way that is registered with a path, at both addresses of a name, and by the proxy of the environment.
    let proxy = Connect::start().await;
    let environment = [("HTTPS_PROXY", proxy.url()), ("NO_PROXY", "other.test".to_owned())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut login = world.login_with(&environment, &["ms/relay", "--redirect-uri", "http://localhost/back"]);
    let page = login.page().await;
    let back = redirect(&page);
    assert!(back.starts_with("http://localhost:") && back.ends_with("/back"), "{back}");
    let (came, shown) = person(page, true).await;
    assert!(shown.contains("You may close this page"), "{came}: {shown}");
    let ran = login.ended().await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    world.cluster.status_when("relay", "verified", is_verified).await;
    let kept = world.kept().await.unwrap();
    assert_eq!(kept[0], ("more".to_owned(), "of ours".to_owned()));
    assert_ne!(kept[1].1, "over");
    let provider = format!("localhost:{}", world.identity.var("PORT"));
    assert_eq!(proxy.asked().iter().filter(|place| **place == provider).count(), 1, "{:?}", proxy.asked());
}

#[tokio::test]
async fn without_a_consent_nothing_is_kept_and_the_providers_words_are_told() {
    let world = World::new("consent-denied").await;
    world.server("relay", "alice-native", json!({})).await;
    let mut login = world.login(&["ms/relay"]);
    let page = login.page().await;
    let (came, shown) = person(page, false).await;
    assert!(came.contains("error=access_denied") && shown.contains("You may close this page"), "{came}: {shown}");
    let Ran { code, out, err } = login.ended().await;
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    let told = "MailServer relay: localhost answered access_denied: End-User aborted interaction. Consent with the account that the object \
                names; where that may not, have an administrator consent for it.";
    assert_eq!(out.lines().last(), Some(told), "{out}");
    assert_eq!(world.kept().await, None);

    let ran = world.as_somebody(&administrator(&world.cluster), &["ms/relay", "--timeout", "1s"]);
    assert_eq!((ran.code, ran.out.lines().last()), (1, Some("MailServer relay: nobody has consented yet")), "{}", ran.err);
    assert_eq!(world.kept().await, None);
}

#[tokio::test]
async fn a_provider_that_gives_no_refresh_token_is_told_with_what_brings_one() {
    let world = World::new("consent-fleeting").await;
    world.server("relay", "alice-native", json!({"scopes": ["openid", "mail"]})).await;
    let mut login = world.login(&["ms/relay"]);
    let page = login.page().await;
    assert!(!page.contains("prompt="), "{page}");
    person(page, true).await;
    let Ran { code, out, err } = login.ended().await;
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    let told = "MailServer relay: localhost gave an access token and no refresh token: as a rule they take the scope offline_access: add it \
                to oauth2.scopes, and sign in once more";
    assert_eq!(out.lines().last(), Some(told), "{out}");
    assert_eq!(world.kept().await, None);
}

#[tokio::test]
async fn nobody_is_asked_to_consent_where_nothing_could_come_of_it() {
    let world = World::new("consent-refused").await;
    world.server("relay", "alice-native", json!({})).await;
    let elsewhere = format!("https://127.0.0.1:{}/token", world.identity.var("PORT"));
    world.server("elsewhere", "alice-native", json!({"tokenURL": elsewhere})).await;
    world.server("pageless", "alice-native", json!({"authURL": null})).await;
    let refused = |who: &Path, name: &str| {
        let ran = world.as_somebody(who, &[name, "--timeout", "10s"]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        ran.err
    };
    let err = refused(&administrator(&world.cluster), "ms/elsewhere");
    let place = format!("127.0.0.1:{}", world.identity.var("PORT"));
    assert!(err.contains(&format!("would be shown to {place}: if that is right, say --allowed-token-hosts {place}")), "{err}");
    let err = refused(&administrator(&world.cluster), "ms/pageless");
    assert!(err.contains("provider Custom needs oauth2.authURL"), "{err}");
    // The role for our kinds alone reads no Secret, and writes none.
    let err = refused(&user(&world.cluster, "mail-edit").await, "ms/relay");
    assert!(err.contains("secrets \"consent\" is forbidden"), "{err}");
    let sealed = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "consent"}, "immutable": true,
        "stringData": {"refresh_token": "over"}});
    world.cluster.apply(sealed).await;
    let err = refused(&administrator(&world.cluster), "ms/relay");
    assert!(err.contains("cannot be written: ") && err.contains("immutable"), "{err}");
}

#[tokio::test]
async fn a_profile_is_consented_for_and_verified() {
    let world = World::new("consent-profile").await;
    let _operator = world.operator().await;
    let tls = json!({"caRef": {"kind": "ConfigMap", "name": "ca", "key": "ca.crt"}});
    let server = json!({"host": "localhost", "port": world.stack.port("IMAPS_PORT"), "security": "TLS", "tls": tls});
    world.cluster.server("relay", spec(&world.stack, "SMTP_PORT", "StartTLS", json!({}))).await;
    let auth = world.identity.consent_auth("probe-native", "consent");
    let profile = json!({"address": "probe@example.test", "protocol": "IMAP", "server": server, "account": auth,
        "verification": {"senderRef": {"name": "relay"}}});
    world.cluster.profile("box", profile).await;
    let mut login = world.login(&["box"]);
    let page = login.page().await;
    person(page, true).await;
    let Ran { code, out, err } = login.ended().await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.lines().last().unwrap().starts_with("EmailProfile box: CodeReceived: "), "{out}");
    let status = world.cluster.profile_status("box").await;
    assert!(says(&status, "CredentialsReady", "True", "TokenAcquired"), "{status:#?}");
}
