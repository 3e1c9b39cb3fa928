//! The `OpenID` provider that `tests/run` has started.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::PathBuf,
    process::Command,
};

use serde_json::{Value, json};

/// The values of `DIR/env`, see tests/identity/README.md.
pub struct Identity(HashMap<String, String>);

impl Identity {
    /// The running one; without it a test fails and says what to do.
    pub fn get() -> Self {
        let dir = std::env::var("MAILVERITY_TEST_IDENTITY")
            .expect("MAILVERITY_TEST_IDENTITY is not set: run `make test`, which starts an OpenID provider");
        let env = fs::read_to_string(PathBuf::from(dir).join("env")).expect("the provider's env file");
        Self(env.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    pub fn var(&self, name: &str) -> &str {
        &self.0[name]
    }

    pub fn ca(&self) -> Vec<u8> {
        fs::read(self.var("CA_FILE")).unwrap()
    }

    /// The secret of a client.
    pub fn secret(client: &str) -> String {
        super::leaks::password(&format!("idp-{client}"))
    }

    /// `auth` of a client with client credentials, whose proof is this.
    pub fn auth(&self, client: &str, proof: Value) -> Value {
        json!({"type": "OAuth2", "username": "alice@example.test", "oauth2": {
            "provider": "Custom", "grant": "ClientCredentials", "clientID": client, "client": proof,
            "tokenURL": self.var("TOKEN_URL"), "scopes": ["mail"]}})
    }

    /// `auth` of a client with a refresh token in this Secret.
    pub fn user_auth(&self, client: &str, secret: &str) -> Value {
        json!({"type": "OAuth2", "username": "alice@example.test", "oauth2": {
            "provider": "Custom", "grant": "RefreshToken", "clientID": client, "client": {"secretRef": {"name": "app"}},
            "tokenURL": self.var("TOKEN_URL"), "tokenSecretName": secret}})
    }

    /// `auth` of a client whose user signs in by device code, and whose refresh token is kept in this Secret.
    pub fn device_auth(&self, client: &str, secret: &str) -> Value {
        let user = client.split('-').next().unwrap_or_default();
        json!({"type": "OAuth2", "username": format!("{user}@example.test"), "oauth2": {
            "provider": "Custom", "grant": "DeviceCode", "clientID": client, "tokenURL": self.var("TOKEN_URL"),
            "deviceURL": self.var("DEVICE_URL"), "scopes": ["openid", "offline_access", "mail"], "tokenSecretName": secret}})
    }

    /// `auth` of a client whose user consents in a browser, and whose refresh token is expected in this Secret. The client has a secret
    /// if its name says so.
    pub fn consent_auth(&self, client: &str, secret: &str) -> Value {
        let user = client.split('-').next().unwrap_or_default();
        let mut auth = json!({"type": "OAuth2", "username": format!("{user}@example.test"), "oauth2": {
            "provider": "Custom", "grant": "RefreshToken", "clientID": client, "tokenURL": self.var("TOKEN_URL"),
            "authURL": self.var("PAGE_URL"), "scopes": ["openid", "offline_access", "mail"], "tokenSecretName": secret}});
        if client.ends_with("-desktop") {
            auth["oauth2"]["client"] = json!({"secretRef": {"name": "app"}});
        }
        auth
    }

    /// A person with a browser, who opens a page, signs in, and consents or does not. Returns where the browser came to in the end, and
    /// what it shows.
    pub fn browse(&self, page: &str, consents: bool) -> (String, String) {
        let jar = std::env::temp_dir().join(format!("mailverity-browser-{}", uuid::Uuid::new_v4().simple()));
        let open = |args: &[&str]| {
            let mut curl = Command::new("curl");
            curl.args(["-sSL", "--cacert", self.var("CA_FILE"), "-w", "\n%{url_effective}", "-b"]).arg(&jar).arg("-c").arg(&jar);
            let answer = curl.args(args).output().unwrap();
            let text = String::from_utf8(answer.stdout).unwrap();
            let (body, url) = text.rsplit_once('\n').unwrap();
            assert!(answer.status.success(), "{url}: {}", String::from_utf8_lossy(&answer.stderr));
            (url.to_owned(), body.to_owned())
        };
        let (login, shown) = open(&[page]);
        assert!(login.contains("/interaction/"), "{login}: {shown}");
        let (consent, _) = open(&["-d", "prompt=login&login=alice&password=any", &login]);
        let end = if consents { open(&["-d", "prompt=consent", &consent]) } else { open(&[&format!("{consent}/abort")]) };
        let _ = fs::remove_file(jar);
        end
    }

    /// When a client asked with this grant, in milliseconds; `device` for a device code itself.
    pub fn times(&self, client: &str, grant: &str) -> Vec<u64> {
        let log = self.ask("log");
        let lines = log.as_array().unwrap().iter().filter(|line| line["client"] == client);
        lines.filter(|line| line["grant"].as_str().unwrap().ends_with(grant)).map(|line| line["at"].as_u64().unwrap()).collect()
    }

    /// A refresh token as a user's consent would give it.
    pub fn consent(&self, client: &str) -> String {
        self.ask(&format!("consent?client={client}"))["refresh_token"].as_str().unwrap().to_owned()
    }

    /// The flags of an operator that may ask the provider.
    pub fn flags(&self) -> Vec<String> {
        let host = format!("localhost:{}", self.var("PORT"));
        ["--allowed-token-hosts", &host, "--token-ca-file", self.var("CA_FILE")].map(str::to_owned).to_vec()
    }

    /// What the provider answers to its own questions: `consent?client=…`, `revoke?grant=…`, `log`.
    pub fn ask(&self, what: &str) -> Value {
        let url = format!("{}/{what}", self.var("TEST_URL"));
        let answer = Command::new("curl").args(["-sS", "--cacert", self.var("CA_FILE"), &url]).output().unwrap();
        serde_json::from_slice(&answer.stdout).unwrap_or_else(|_| panic!("{url}: {}", String::from_utf8_lossy(&answer.stderr)))
    }

    /// How often a client asked for a token, by the status that it got.
    pub fn asked(&self, client: &str) -> BTreeMap<u64, usize> {
        let mut asked = BTreeMap::new();
        for line in self.ask("log").as_array().unwrap().iter().filter(|line| line["client"] == client) {
            *asked.entry(line["status"].as_u64().unwrap()).or_default() += 1;
        }
        asked
    }
}
