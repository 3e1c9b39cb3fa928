//! Refresh tokens that a provider gives in place of others, and a keeper that is away, or whom another has overtaken.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, FutureExt};
use mailverity::{
    api::{Class, Reason},
    mail::{Diagnosis, oauth2::Grant},
    verify::{
        report::LoginOutcome,
        tokens::{
            Source, Tokens,
            device::DeviceLogin,
            keep::{Keeper, Kept, Owner, Pending, Place, Safe, Unwritten},
        },
    },
};
use secrecy::ExposeSecret;

use crate::tokens::{Does, Provider, TIME, ask, gate, json};

/// A Secret in memory.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<State>>, Arc<Around>);

/// What is around the Secret.
#[derive(Default)]
struct Around {
    /// Whether another process leads, and whether one does as soon as the Secret is read.
    lost: AtomicBool,
    loses: AtomicBool,
    /// Whether the object is paused.
    rests: AtomicBool,
    /// Whether a read takes until it is let go, and whether one does.
    holds: AtomicBool,
    held: AtomicBool,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    version: u32,
    /// Writes that fail before one is taken.
    away: u32,
    writes: Vec<String>,
}

impl Memory {
    /// Another process writes this.
    pub fn put(&self, consent: &str, refresh: &str) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        let version = Some(state.version.to_string());
        let refresh = Some(refresh.to_owned().into());
        state.kept =
            Some(Kept { application: "app".to_owned(), consent: consent.to_owned(), refresh, version, ..Kept::default() });
    }

    /// A user says where it may go.
    pub fn annotate(&self, allowed_hosts: &str) {
        self.0.lock().unwrap().kept.as_mut().unwrap().allowed_hosts = Some(allowed_hosts.to_owned());
    }

    fn refresh(&self) -> Option<String> {
        self.0.lock().unwrap().kept.as_ref()?.refresh.as_ref().map(|token| token.expose_secret().to_owned())
    }

    fn away(&self, times: u32) {
        self.0.lock().unwrap().away = times;
    }
}

impl Keeper for Memory {
    fn read<'a>(&'a self, _: &'a Place) -> BoxFuture<'a, Result<Option<Kept>, Diagnosis>> {
        async {
            while self.1.holds.load(SeqCst) {
                self.1.held.store(true, SeqCst);
                tokio::task::yield_now().await;
            }
            self.1.lost.fetch_or(self.1.loses.load(SeqCst), SeqCst);
            Ok(self.0.lock().unwrap().kept.clone())
        }
        .boxed()
    }

    fn leads(&self) -> bool {
        !self.1.lost.load(SeqCst)
    }

    fn rests(&self, _: &Place) -> bool {
        self.1.rests.load(SeqCst)
    }

    fn write<'a>(&'a self, _: &'a Place, kept: &'a Kept) -> BoxFuture<'a, Result<(), Unwritten>> {
        async {
            let mut state = self.0.lock().unwrap();
            if state.away > 0 {
                state.away -= 1;
                return Err(Unwritten::Failed(Diagnosis::new(Reason::OAuthTokenFailed).class(Class::Transient)));
            }
            if state.kept.as_ref().and_then(|kept| kept.version.clone()) != kept.version {
                return Err(Unwritten::Changed);
            }
            state.version += 1;
            state.writes.extend(kept.refresh.as_ref().map(|refresh| refresh.expose_secret().to_owned()));
            state.kept = Some(Kept { version: Some(state.version.to_string()), ..kept.clone() });
            Ok(())
        }
        .boxed()
    }
}

fn source(provider: &Provider, memory: &Memory, tokens: &Arc<Tokens>) -> Source {
    let mut request = provider.request();
    request.grant = Grant::RefreshToken("seed".to_owned().into());
    let owner = Owner { kind: "MailServer".to_owned(), name: "relay".to_owned(), uid: "1".to_owned() };
    let place = Place { namespace: "mail".to_owned(), name: "consent-rotated".to_owned(), owner };
    let (application, consent) = ("app".to_owned(), "seed".to_owned());
    Source::new(Arc::clone(tokens), request, "key".to_owned()).kept_in(Safe {
        keeper: Arc::new(memory.clone()),
        place,
        application,
        consent,
        login: None,
        pending: None,
        stored: None,
    })
}

/// The same, which asks for something else by it.
fn source_for(scope: &str, provider: &Provider, memory: &Memory, tokens: &Arc<Tokens>) -> Source {
    let mut request = provider.request();
    request.grant = Grant::RefreshToken("seed".to_owned().into());
    request.scopes = vec![scope.to_owned()];
    let safe = source(provider, memory, tokens).safe().unwrap().clone();
    Source::new(Arc::clone(tokens), request, scope.to_owned()).kept_in(safe)
}

/// The same by device code, for an application.
fn by_device(provider: &Provider, memory: &Memory, tokens: &Arc<Tokens>, application: &str) -> Source {
    let mut request = provider.request();
    request.grant = Grant::Device;
    let owner = Owner { kind: "MailServer".to_owned(), name: "relay".to_owned(), uid: "1".to_owned() };
    let place = Place { namespace: "mail".to_owned(), name: "signed-in".to_owned(), owner };
    let login = DeviceLogin { authorize: request.clone(), name: "ms/relay".to_owned() };
    Source::new(Arc::clone(tokens), request, "key".to_owned()).kept_in(Safe {
        keeper: Arc::new(memory.clone()),
        place,
        application: application.to_owned(),
        consent: String::new(),
        login: Some(login),
        pending: None,
        stored: None,
    })
}

fn given(access: &str, refresh: &str) -> Does {
    json(200, &format!(r#"{{"access_token":"{access}","expires_in":3600,"refresh_token":"{refresh}"}}"#))
}

fn shown(provider: &Provider) -> Vec<String> {
    let heard = provider.heard.lock().unwrap();
    let token = |request: &String| request.split("&refresh_token=").nth(1)?.split('&').next().map(str::to_owned);
    heard.iter().filter_map(token).collect()
}

#[tokio::test]
async fn the_newest_refresh_token_is_shown_and_the_next_is_kept() {
    let provider = Provider::that(vec![given("one", "r1"), given("two", "r2")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    assert_eq!(ask(&source(&provider, &memory, &tokens), &gate(), TIME).await.unwrap(), "one");
    assert_eq!(memory.refresh().as_deref(), Some("r1"));
    // Another process has led in between.
    memory.put("seed", "theirs");
    let source = source(&provider, &memory, &tokens);
    let _ = source.judged(&"one".to_owned().into(), source.account(), LoginOutcome::Refused);
    assert_eq!(ask(&source, &gate(), TIME).await.unwrap(), "two");
    assert_eq!(shown(&provider), ["seed", "theirs"]);
    assert_eq!(memory.refresh().as_deref(), Some("r2"));
}

#[tokio::test]
async fn what_was_kept_for_another_consent_is_not_shown() {
    let provider = Provider::that(vec![given("one", "r1")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    memory.put("another seed", "old");
    ask(&source(&provider, &memory, &tokens), &gate(), TIME).await.unwrap();
    assert_eq!(shown(&provider), ["seed"]);
    assert_eq!(memory.refresh().as_deref(), Some("r1"));
}

#[tokio::test]
async fn an_access_token_is_not_used_before_its_refresh_token_is_kept_and_is_then_not_asked_for_again() {
    let provider = Provider::that(vec![given("one", "r1")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    let source = source(&provider, &memory, &tokens);
    memory.away(5);
    let failed = ask(&source, &gate(), TIME).await.unwrap_err();
    assert_eq!(failed.class, Class::Transient);
    assert_eq!(memory.refresh(), None);
    let kept = async {
        loop {
            match ask(&source, &gate(), TIME).await {
                Ok(token) => return token,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    };
    assert_eq!(tokio::time::timeout(TIME, kept).await.unwrap(), "one");
    assert_eq!((provider.asked(), memory.refresh().as_deref()), (1, Some("r1")));
}

#[tokio::test]
async fn a_check_that_is_cut_short_loses_no_refresh_token() {
    let provider = Provider::that(vec![given("one", "r1")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    let source = source(&provider, &memory, &tokens);
    memory.away(1);
    {
        let gate = gate();
        let mut asking = std::pin::pin!(ask(&source, &gate, TIME));
        // Until the provider was asked.
        while provider.asked() == 0 {
            assert!((&mut asking).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    tokens.settled().await;
    assert_eq!(memory.refresh().as_deref(), Some("r1"));
    assert_eq!(ask(&source, &gate(), TIME).await.unwrap(), "one");
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn whoever_was_overtaken_leaves_the_newer_refresh_token_where_it_is() {
    let provider = Provider::that(vec![given("one", "r1")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    memory.put("seed", "r0");
    memory.away(1);
    let source = source(&provider, &memory, &tokens);
    let overtake = async {
        while memory.0.lock().unwrap().away > 0 {
            tokio::task::yield_now().await;
        }
        memory.put("seed", "newer");
    };
    let gate = gate();
    let (token, ()) = tokio::join!(ask(&source, &gate, TIME), overtake);
    assert_eq!(token.unwrap(), "one");
    assert_eq!(memory.refresh().as_deref(), Some("newer"));
    assert!(memory.0.lock().unwrap().writes.is_empty());
}

#[tokio::test]
async fn objects_that_ask_for_different_things_by_one_refresh_token_take_turns() {
    let provider = Provider::that(vec![given("one", "r1"), given("two", "r2")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    let (mail, more) = ["mail", "more"].map(|scope| source_for(scope, &provider, &memory, &tokens)).into();
    let gate = gate();
    let (one, two) = tokio::join!(ask(&mail, &gate, TIME), ask(&more, &gate, TIME));
    assert_ne!(one.unwrap(), two.unwrap());
    assert_eq!(shown(&provider), ["seed", "r1"], "none is shown twice");
}

#[tokio::test]
async fn two_applications_do_not_take_a_secret_from_each_other() {
    let code = r#"{"device_code":"d","user_code":"AB","verification_uri":"https://login.test/link","expires_in":900}"#;
    let provider = Provider::that(vec![json(200, code)], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    memory.put("theirs", "their token");
    let refused = ask(&by_device(&provider, &memory, &tokens, "another app"), &gate(), TIME).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Conflict);
    assert!(refused.said().contains("kubectl mail login ms/relay"), "{}", refused.said());
    assert_eq!((provider.asked(), memory.refresh().as_deref()), (0, Some("their token")));
}

#[tokio::test]
async fn what_could_not_be_kept_for_one_is_kept_before_another_asks_by_it() {
    let provider = Provider::that(vec![given("one", "r1"), given("two", "r2")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    let (mail, more) = ["mail", "more"].map(|scope| source_for(scope, &provider, &memory, &tokens)).into();
    let gate = gate();
    memory.away(5);
    assert_eq!(ask(&mail, &gate, TIME).await.unwrap_err().class, Class::Transient);
    assert_eq!(ask(&more, &gate, TIME).await.unwrap(), "two");
    assert_eq!(shown(&provider), ["seed", "r1"], "none is shown twice");
    assert_eq!(ask(&mail, &gate, TIME).await.unwrap(), "one");
    assert_eq!(memory.refresh().as_deref(), Some("r2"));
}

#[tokio::test]
async fn a_secret_that_is_taken_away_during_a_request_is_made_again() {
    let provider = Provider::that(vec![given("one", "r1")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    memory.put("seed", "r0");
    memory.away(1);
    let source = source(&provider, &memory, &tokens);
    let away = async {
        while memory.0.lock().unwrap().away > 0 {
            tokio::task::yield_now().await;
        }
        memory.0.lock().unwrap().kept = None;
    };
    let gate = gate();
    let (token, ()) = tokio::join!(ask(&source, &gate, TIME), away);
    assert_eq!((token.unwrap().as_str(), memory.refresh().as_deref()), ("one", Some("r1")));
}

#[tokio::test]
async fn nothing_is_asked_for_an_object_that_is_paused() {
    // promise 4
    let provider = Provider::that(vec![given("one", "r1")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    let mut request = provider.request();
    request.grant = Grant::ClientCredentials;
    for source in [source(&provider, &memory, &tokens), Source::new(Arc::clone(&tokens), request, "key".to_owned())] {
        let gate = gate();
        gate.still.store(0, SeqCst);
        *gate.why_not.lock().unwrap() = Some(Diagnosis::new(Reason::Paused));
        assert_eq!(ask(&source, &gate, TIME).await.unwrap_err().reason, Reason::Paused);
    }
    assert_eq!(provider.asked(), 0);
}

#[tokio::test]
async fn who_does_not_lead_any_more_shows_no_refresh_token() {
    let provider = Provider::that(vec![given("one", "r1")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    memory.1.loses.store(true, SeqCst);
    let failed = ask(&source(&provider, &memory, &tokens), &gate(), TIME).await.unwrap_err();
    assert_eq!(failed.class, Class::Transient, "{}", failed.said());
    assert_eq!(provider.asked(), 0);
}

#[tokio::test]
async fn a_check_that_is_cut_short_asks_nothing_any_more() {
    // promise 4
    let provider = Provider::that(vec![given("one", "r1")], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    let source = source(&provider, &memory, &tokens);
    memory.1.holds.store(true, SeqCst);
    {
        let gate = gate();
        let mut asking = std::pin::pin!(ask(&source, &gate, TIME));
        while !memory.1.held.load(SeqCst) {
            assert!((&mut asking).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    memory.1.holds.store(false, SeqCst);
    tokens.settled().await;
    assert_eq!(provider.asked(), 0);
}

#[tokio::test]
async fn a_device_code_is_not_asked_about_while_the_object_rests_and_is_again_once_it_does_not() {
    // promise 4
    let provider = Provider::that(vec![json(400, r#"{"error":"authorization_pending"}"#)], "good").await;
    let (memory, tokens) = (Memory::default(), Arc::new(Tokens::new(provider.https())));
    let pending = Pending {
        device_code: "d".to_owned().into(),
        user_code: "AB".to_owned(),
        uri: "https://login.test/link".to_owned(),
        expires: jiff::Timestamp::now() + Duration::from_mins(15),
        interval: Duration::from_millis(20),
    };
    let begun = Instant::now();
    let until = async |holds: &dyn Fn() -> bool| {
        while !holds() {
            assert!(begun.elapsed() < TIME);
            tokio::task::yield_now().await;
        }
    };
    let safe = by_device(&provider, &memory, &tokens, "app").safe().unwrap().clone();
    let follow = || {
        Source::new(Arc::clone(&tokens), provider.request(), "key".to_owned())
            .kept_in(Safe { pending: Some(pending.clone()), ..safe.clone() })
    };
    drop(follow());
    until(&|| provider.asked() > 0).await;
    memory.1.rests.store(true, SeqCst);
    let asked = provider.asked();
    until(&|| Arc::strong_count(&safe.keeper) == 1).await;
    assert!(provider.asked() <= asked + 1, "but for what was under way");
    let asked = provider.asked();
    drop(follow());
    assert_eq!(Arc::strong_count(&safe.keeper), 1, "nobody asks");
    memory.1.rests.store(false, SeqCst);
    drop(follow());
    until(&|| provider.asked() > asked).await;
}
