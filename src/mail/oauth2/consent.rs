//! Consent in a browser: the authorization code flow (RFC 6749 section 4.1) of a program on a person's own machine (RFC 8252), bound
//! to who began it by PKCE (RFC 7636). Here is what the browser is sent with and what it comes back with; nothing is listened to.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{ExposeSecret, SecretString};

use super::{Grant, Proof, Refusal, Request, answer, not_judged, refusal, request::add};
use crate::{
    api::Reason,
    mail::{Diagnosis, diagnosis::printable, https::Url},
};

/// Random bytes in `state` and `code_verifier`, as RFC 7636 section 4.1 recommends.
const BYTES: usize = 32;

/// The most characters of an issuer that anyone sees.
const ISSUER: usize = 128;

/// What a person is to consent to, and how the code that comes of it is exchanged.
#[derive(Clone, Debug)]
pub struct Page {
    /// The authorization endpoint (RFC 6749 section 3.1).
    pub url: Url,
    /// The token endpoint.
    pub endpoint: Url,
    /// The application's id.
    pub client_id: String,
    /// How the application proves itself at the token endpoint.
    pub proof: Proof,
    /// What is asked for; none leaves it to the provider.
    pub scopes: Vec<String>,
    /// The account to sign in with, as a hint (`OpenID` Connect Core 1.0 section 3.1.2.1).
    pub user: String,
    /// What this provider wants to hear beside what the standard says.
    pub beside: Vec<(&'static str, &'static str)>,
}

/// One way to the page and back. Its secrets print as nothing.
#[derive(Debug)]
pub struct Attempt {
    redirect: String,
    state: SecretString,
    verifier: SecretString,
}

/// What a browser came back with.
#[derive(Debug)]
pub enum Back {
    /// It is not what we have sent it for: another's, or of an earlier attempt.
    Foreign,
    /// The provider's word: a code, as the request by which it is exchanged, or why there is none.
    Ours(Box<Result<Request, Refusal>>),
}

impl Attempt {
    /// A way that leads back to `redirect`, with secrets of its own.
    ///
    /// # Errors
    /// That the system gave no random bytes.
    pub fn new(redirect: String) -> Result<Self, &'static str> {
        Ok(Self { redirect, state: random()?, verifier: random()? })
    }

    /// Where the browser is to go (RFC 6749 section 4.1.1, RFC 7636 section 4.3). It holds `state`, and the verifier's hash alone.
    #[must_use]
    pub fn url(&self, page: &Page) -> String {
        let challenge = digest::digest(&digest::SHA256, self.verifier.expose_secret().as_bytes());
        let (challenge, scopes) = (URL_SAFE_NO_PAD.encode(challenge), page.scopes.join(" "));
        let mut query = String::new();
        let standard = [
            ("response_type", "code"),
            ("client_id", &page.client_id),
            ("redirect_uri", &self.redirect),
            ("scope", &scopes),
            ("login_hint", &page.user),
            ("state", self.state.expose_secret()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in standard.into_iter().chain(page.beside.iter().copied()).filter(|(_, value)| !value.is_empty()) {
            add(&mut query, name, value);
        }
        let url = page.url.to_string();
        // RFC 6749 section 3.1: a query that is there stays.
        let joint = if url.ends_with(['?', '&']) { "" } else { ["?", "&"][usize::from(url.contains('?'))] };
        format!("{url}{joint}{query}")
    }

    /// Reads the query that a browser came back with (RFC 6749 sections 4.1.2 and 4.1.2.1). Whoever says who has issued the code
    /// (RFC 9207) must be at one of the hosts `issuers`: another's code would be shown to a provider that it is not for.
    #[must_use]
    pub fn back(&self, query: &str, page: &Page, issuers: &[&str]) -> Back {
        let field = |name: &str| field(query, name);
        // Compared as hashes, so that the time it takes tells nothing of the state.
        let hash = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
        if field("state").is_none_or(|state| hash(&state).as_ref() != hash(self.state.expose_secret()).as_ref()) {
            return Back::Foreign;
        }
        let is_known = |issuer: &str| issuer.parse::<Url>().is_ok_and(|issuer| issuers.contains(&issuer.host.as_str()));
        if let Some(issuer) = field("iss").filter(|issuer| !is_known(issuer)) {
            let issuer = printable(&issuer, ISSUER);
            return unfit(page, &format!("it was answered by {issuer}, who is somebody else than was asked (RFC 9207)"));
        }
        if let Some(error) = field("error") {
            let secrets = [self.state.clone(), self.verifier.clone()];
            let description = field("error_description").unwrap_or_default();
            let (error, description) = (answer::scrubbed(&error, &secrets, 64), answer::scrubbed(&description, &secrets, 1024));
            let said = refusal::Said { status: 400, error: &error, description: &description, codes: &[] };
            let asked = Request { endpoint: page.url.clone(), ..self.request(page, SecretString::default()) };
            let refusal = refusal::judge(&said, &asked);
            return Back::Ours(Box::new(Err(Refusal { diagnosis: asked.facts(refusal.diagnosis), ..refusal })));
        }
        match field("code").filter(|code| answer::is_token(code)) {
            Some(code) => Back::Ours(Box::new(Ok(self.request(page, SecretString::from(code))))),
            None => unfit(page, "it sent the browser back with neither a code nor an error"),
        }
    }

    /// What the code is exchanged by (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
    fn request(&self, page: &Page, code: SecretString) -> Request {
        Request {
            endpoint: page.endpoint.clone(),
            client_id: page.client_id.clone(),
            proof: page.proof.clone(),
            grant: Grant::Consent { code, verifier: self.verifier.clone(), redirect: self.redirect.clone() },
            scopes: page.scopes.clone(),
        }
    }
}

fn unfit(page: &Page, fault: &str) -> Back {
    let fault = format!("nothing came of the consent at {}: {fault}", page.url.host);
    Back::Ours(Box::new(Err(not_judged(Diagnosis::new(Reason::OAuthTokenFailed).detail(fault.clone()).fact("fault", fault)))))
}

fn random() -> Result<SecretString, &'static str> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gave no random bytes")?;
    Ok(SecretString::from(URL_SAFE_NO_PAD.encode(bytes)))
}

/// The value of a parameter (RFC 6749 appendix B); none where it is missing, stands there twice (section 3.1) or is no UTF-8.
fn field(query: &str, name: &str) -> Option<String> {
    let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(known, _)| *known == name);
    let (_, value) = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(value.len()), value.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
                rest = tail.get(2..)?;
                u8::try_from(digit(0)? * 16 + digit(1)?).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(url: &str) -> Page {
        Page {
            url: url.parse().unwrap(),
            endpoint: "https://token.test/token".parse().unwrap(),
            client_id: "us & them".to_owned(),
            proof: Proof::None,
            scopes: vec!["mail".to_owned(), "offline_access".to_owned()],
            user: "alice@corp.test".to_owned(),
            beside: vec![("prompt", "consent")],
        }
    }

    fn attempt() -> Attempt {
        Attempt { redirect: "http://127.0.0.1:4711".to_owned(), state: "the state".into(), verifier: VERIFIER.into() }
    }

    /// Those of RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn back(query: &str) -> Back {
        attempt().back(query, &page("https://login.test/authorize"), &["login.test"])
    }

    fn refused(query: &str) -> Diagnosis {
        let Back::Ours(answer) = back(query) else { panic!("{query} is another's") };
        answer.unwrap_err().diagnosis
    }

    #[test]
    fn the_browser_is_sent_with_the_hash_of_what_only_we_know() {
        let url = attempt().url(&page("https://login.test/authorize"));
        let asked = "response_type=code&client_id=us%20%26%20them&redirect_uri=http%3A%2F%2F127.0.0.1%3A4711&scope=mail%20offline_access\
                     &login_hint=alice%40corp.test&state=the%20state";
        let want =
            format!("https://login.test/authorize?{asked}&code_challenge={CHALLENGE}&code_challenge_method=S256&prompt=consent");
        assert_eq!(url, want);
        assert!(
            attempt()
                .url(&page("https://login.test/a?tenant=b"))
                .starts_with("https://login.test/a?tenant=b&response_type=code&")
        );
        assert!(!format!("{:?}", attempt()).contains("the state"));
    }

    #[test]
    fn each_attempt_has_secrets_of_its_own_of_the_length_that_is_asked_for() {
        let [one, two] = [(); 2].map(|()| Attempt::new("http://127.0.0.1:1".to_owned()).unwrap());
        let texts = [&one.state, &one.verifier, &two.state, &two.verifier].map(|secret| secret.expose_secret().to_owned());
        // RFC 7636 section 4.1: 43 characters at least.
        assert!(texts.iter().all(|text| text.len() == 43), "{texts:?}");
        assert!((0..4).all(|at| !texts[..at].contains(&texts[at])), "{texts:?}");
    }

    #[test]
    fn a_code_is_taken_only_with_our_state_and_from_who_was_asked() {
        for query in ["code=c&state=the%20state", "state=the+state&code=c&iss=https%3A%2F%2Flogin.test%2Fme&more=x"] {
            let Back::Ours(answer) = back(query) else { panic!("{query}") };
            let request = answer.unwrap();
            let Grant::Consent { code, verifier, redirect } = &request.grant else { panic!("{query}") };
            assert_eq!((code.expose_secret(), verifier.expose_secret()), ("c", VERIFIER), "{query}");
            assert_eq!((redirect.as_str(), request.endpoint.host.as_str()), ("http://127.0.0.1:4711", "token.test"), "{query}");
        }
        for query in [
            "",
            "code=c",
            "code=c&state=",
            "code=c&state=the%20stat",
            "code=c&state=the%20state%00",
            "code=c&state=%ff",
            "code=c&state=%2",
            "code=c&state=the%20state&state=the%20state",
            "error=access_denied",
            "error=access_denied&state=x",
            "&&=&state",
        ] {
            assert!(matches!(back(query), Back::Foreign), "{query}");
        }
        for query in ["iss=https%3A%2F%2Fevil.test&code=c", "iss=evil&code=c", "iss=https%3A%2F%2Fevil.test&error=access_denied"]
        {
            assert!(refused(&format!("state=the+state&{query}")).said().contains("somebody else"), "{query}");
        }
        for query in ["", "&code=", "&code=a%0d%0ab", "&code=a&code=b"] {
            assert!(refused(&format!("state=the+state{query}")).said().contains("neither a code nor an error"), "{query}");
        }
    }

    #[test]
    fn an_error_is_told_scrubbed_and_with_what_to_do() {
        let denied = refused("state=the+state&error=access_denied&error_description=no%1b%5b2J+the%20state+for+you%0aX");
        assert_eq!(denied.said(), "login.test answered access_denied: no [2J [redacted] for you X");
        assert!(denied.hint().starts_with("Consent with the account"), "{}", denied.hint());
        let admin = refused("state=the+state&error=access_denied&error_description=AADSTS90094:+An+administrator+must+consent.");
        assert_eq!(admin.reason, Reason::ConsentRequired);
        assert!(admin.hint().contains("application us & them"), "{}", admin.hint());
    }
}
