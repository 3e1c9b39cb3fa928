//! `kubectl mail send`: one mail through a `MailServer`, by the operator: a second `MailServer` of level Deliver, for as long as it
//! takes. So the mail is claimed, charged to each budget and held back by a pause as any other, and no password is read here. Next:
//! `errand`, that object; `outcome`, what it tells.

mod errand;
mod outcome;

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, PostParams, Preconditions},
};
use mailverity::runtime::{ApiError, bounded};
use tokio::signal::unix::{SignalKind, signal};

use self::errand::{LABEL, LEFT_BEHIND, MOST};
use super::{Connect, Error, Exit, Kind, Patience, Target, object::Object};

/// How long an API server that is away is waited for to delete the object.
const AWAY: Duration = Duration::from_secs(10);

/// Send one mail through a MailServer, and tell what the server said.
///
/// The operator sends it: a second MailServer with the same settings is made, at level Deliver, and deleted again. The budgets, a
/// pause and mode Observe hold for it. Its text says what it is, which object it is of and whom to ask.
///
/// Exit codes: 0 the server took it; 1 it did not, or that is not known; 2 bad usage, no such MailServer, or no right.
#[derive(Args, Debug)]
pub struct Send {
    /// The MailServer, as NAME or ms/NAME.
    #[arg(value_name = "[ms/]NAME", value_parser = server)]
    server: Target,
    /// The address that it goes to.
    #[arg(long, value_name = "ADDRESS")]
    to: String,
    /// What its subject begins with; a UUID in parentheses follows.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// The Actor that sends it; the first of the MailServer's own if absent, else the operator.
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Wait no longer; at most 12h.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = patience)]
    timeout: Duration,
}

fn server(text: &str) -> Result<Target, String> {
    if !text.contains('/') {
        return format!("ms/{text}").parse();
    }
    let target: Target = text.parse()?;
    if target.kind == Kind::MailServer {
        Ok(target)
    } else {
        Err("a mail is sent through a MailServer: NAME or ms/NAME".to_owned())
    }
}

fn patience(text: &str) -> Result<Duration, String> {
    let patience = crate::time::duration(text)?;
    if patience <= MOST { Ok(patience) } else { Err("a mail is waited for 12h at most".to_owned()) }
}

impl Send {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let original = self.server.get(&client, &namespace).await?;
        let api = Kind::MailServer.api(&client, Some(&namespace));
        sweep(&api).await?;
        let (subject, actor) = (self.subject.as_deref(), self.actor.as_deref());
        let wanted = errand::Wanted { to: &self.to, subject, actor, patience: self.timeout };
        let manifest = errand::manifest(&original, &wanted, Timestamp::now())?;
        let (mut interrupted, mut told_to_end) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut hung_up = signal(SignalKind::hangup())?;
        let errand = Target { kind: Kind::MailServer, name: manifest.metadata.name.clone().unwrap_or_default() };
        let is_refused = |error: &ApiError| error.code().is_some_and(|code| (400..500).contains(&code));
        let made = match bounded(api.create(&PostParams::default(), &manifest)).await {
            Err(error) if is_refused(&error) => return Err(error.into()),
            made => made.map(|_| ()),
        };
        // Where no answer came it may be there all the same: it is followed, and taken away.
        let once = async || errand.get(&client, &namespace).await;
        let ended = tokio::select! {
            ended = Patience::of(self.timeout).look(once, outcome::is_over) => Some(ended),
            _ = interrupted.recv() => None,
            _ = told_to_end.recv() => None,
            _ = hung_up.recv() => None,
        };
        let (seen, why) = match (ended, made) {
            // It never was.
            (Some(Err(gone)), Err(error)) if gone.is_gone() => return Err(error.into()),
            (Some(Ok(object)), _) => (Some(object), "its end could not be read".to_owned()),
            (Some(Err(error)), _) => (None, error.to_string()),
            (None, _) => (None, "cut short; it is not sent again".to_owned()),
        };
        // Whatever became of it: it must not send again.
        let (last, gone) = take_away(&errand, &client, &namespace, seen).await;
        if let Err(error) = gone {
            eprintln!("kubectl-mail: {} has to be deleted by hand: {error}", errand.title(&namespace));
        }
        let (lines, exit) = outcome::told(last.as_ref().ok_or(why.as_str()), &self.server.title(&namespace), &self.to);
        println!("{}", lines.join("\n"));
        Ok(exit)
    }
}

/// Deletes the object, and tells how it was when it went; none where that is not known. A claim that was taken after the last look would
/// be told as none: so it goes as it was `seen`, or is read again.
async fn take_away(
    errand: &Target,
    client: &Client,
    namespace: &str,
    mut seen: Option<Object>,
) -> (Option<Object>, Result<(), ApiError>) {
    let api = errand.kind.api(client, Some(namespace));
    loop {
        let version = seen.as_ref().and_then(|object| object.raw.metadata.resource_version.clone());
        let preconditions = version.map(|version| Preconditions { resource_version: Some(version), uid: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        let once = async || match bounded(api.delete(&errand.name, &params)).await {
            Err(error) if error.is_conflict() && params.preconditions.is_some() => Ok(false),
            other => other.map(|_| true),
        };
        match Patience::of(AWAY).look(once, |_| true).await {
            Ok(true) => return (seen, Ok(())),
            Ok(false) => seen = errand.get(client, namespace).await.ok(),
            // It went, or stays, by another hand than ours: what it had not come to, it may have come to since.
            Err(error) => {
                let gone = if error.is_gone() { Ok(()) } else { Err(error) };
                return (seen.filter(outcome::is_tried), gone);
            }
        }
    }
}

/// Deletes what was left behind by one that was killed.
async fn sweep(api: &Api<DynamicObject>) -> Result<(), ApiError> {
    let old = |raw: &DynamicObject| {
        let created = raw.metadata.creation_timestamp.as_ref();
        created.is_some_and(|created| Timestamp::now().duration_since(created.0).unsigned_abs() > LEFT_BEHIND)
    };
    for left in bounded(api.list(&ListParams::default().labels(LABEL))).await?.items.iter().filter(|raw| old(raw)) {
        let name = left.metadata.name.clone().unwrap_or_default();
        match bounded(api.delete(&name, &DeleteParams::default())).await {
            Err(error) if !error.is_gone() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
    };

    use http_body_util::{BodyExt, Full};
    use hyper::{
        Request, Response,
        body::{Bytes, Incoming},
        server::conn::http1,
        service::service_fn,
    };
    use hyper_util::rt::TokioIo;
    use serde_json::{Value, json};

    use super::*;
    use crate::object::tests::object;

    /// A client of an API server that gives these answers in turn, and what it is asked.
    async fn scripted(answers: &[(u16, Value)]) -> (Client, Arc<Mutex<Vec<String>>>) {
        let (heard, answers) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Mutex::new(VecDeque::from(answers.to_vec()))));
        let log = Arc::clone(&heard);
        let answer = move |request: Request<Incoming>| {
            let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
            async move {
                let method = request.method().clone();
                let asked = request.into_body().collect().await?.to_bytes();
                log.lock().unwrap().push(format!("{method} {}", String::from_utf8_lossy(&asked)));
                let (code, body) = answers.lock().unwrap().pop_front().unwrap();
                Ok::<_, hyper::Error>(Response::builder().status(code).body(Full::new(Bytes::from(body.to_string()))).unwrap())
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer.clone())));
            }
        });
        (Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap(), heard)
    }

    fn status(code: u16) -> (u16, Value) {
        let word = if code < 400 { "Success" } else { "Failure" };
        (code, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": word, "message": "So.", "code": code}))
    }

    fn errand(version: &str, status: &Value) -> Object {
        let mut errand = object(Kind::MailServer, "relay-send-1", &json!({"host": "a"}), status);
        errand.raw.metadata.resource_version = Some(version.to_owned());
        errand
    }

    async fn taken_away(seen: Object, answers: &[(u16, Value)]) -> (Option<Object>, bool, Vec<String>) {
        let (client, heard) = scripted(answers).await;
        let errand = Target { kind: Kind::MailServer, name: "relay-send-1".to_owned() };
        let (last, gone) = take_away(&errand, &client, "mail", Some(seen)).await;
        let heard = heard.lock().unwrap().clone();
        (last, gone.is_ok(), heard)
    }

    #[tokio::test]
    async fn a_claim_that_is_taken_between_the_last_look_and_the_deletion_is_told() {
        let running = json!({"lastCheck": {"id": "c", "phase": "Running", "level": "Deliver"}});
        let mut claimed = running.clone();
        claimed["claim"] = json!({"id": "c", "purpose": "Test", "attempt": 1, "startedAt": "2026-11-22T10:00:00Z"});
        let claimed = serde_json::to_value(errand("2", &claimed).raw).unwrap();
        let (last, gone, heard) = taken_away(errand("1", &running), &[status(409), (200, claimed), status(200)]).await;
        assert!(heard[0].starts_with("DELETE ") && heard[0].contains(r#""resourceVersion":"1""#), "{heard:?}");
        assert!(heard[1].starts_with("GET ") && heard[2].contains(r#""resourceVersion":"2""#), "{heard:?}");
        let (lines, _) = outcome::told(last.as_ref().ok_or(""), "MailServer mail/relay", "x@b.example");
        assert!(gone && lines[0].starts_with("Perhaps sent  "), "{lines:?}");
    }

    #[tokio::test]
    async fn what_somebody_else_deleted_before_its_end_is_not_known() {
        let running = json!({"lastCheck": {"id": "c", "phase": "Running", "level": "Deliver"}});
        let (last, gone, _) = taken_away(errand("1", &running), &[status(404)]).await;
        assert!(last.is_none() && gone);
        let finished = json!({"lastCheck": {"id": "c", "phase": "Finished", "level": "Deliver"}});
        let (last, gone, heard) = taken_away(errand("1", &finished), &[status(503), status(404)]).await;
        assert!(last.is_some() && gone && heard.len() == 2);
    }

    #[test]
    fn a_mail_goes_through_a_mail_server() {
        assert_eq!(server("relay").unwrap().to_string(), "mailserver/relay");
        assert_eq!(server("ms/relay").unwrap().to_string(), "mailserver/relay");
        assert!(server("emp/box").is_err() && server("ms/").is_err());
        assert_eq!(patience("12h"), Ok(MOST));
        assert!(patience("13h").is_err(), "the next `send` would take it for one that was left behind");
    }
}
