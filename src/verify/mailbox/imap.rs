//! IMAP: greeting, capabilities, STARTTLS, login, mailbox.

use tokio::time::Instant;

use super::{Granted, LoginOutcome, Visit, leaves_in_order};
use crate::{
    api::v1alpha1::Security,
    mail::{
        Diagnosis, Stage,
        imap::{About, ImapMailbox, Session, Wanted},
        mailbox::Mailbox,
    },
};

/// See [`Visit::open`].
pub(super) async fn open(visit: &mut Visit<'_>, until: Instant, writable: bool) -> Result<Option<Box<dyn Mailbox>>, Diagnosis> {
    let mut slot = None;
    let result = converse(visit, until, writable, &mut slot).await;
    if let (Err(failure), Some(session)) = (&result, &mut slot)
        && leaves_in_order(failure)
    {
        session.logout().await.ok();
    }
    result
}

/// The stages. Where one fails, the session that can still be ended in order is left in `slot`.
async fn converse(
    visit: &mut Visit<'_>,
    until: Instant,
    writable: bool,
    slot: &mut Option<Session>,
) -> Result<Option<Box<dyn Mailbox>>, Diagnosis> {
    let inputs = visit.inputs;
    let wire = visit.connect(until).await?;
    let about = About {
        host: inputs.endpoint.host.clone(),
        port: inputs.endpoint.port,
        user: inputs.login.as_ref().map(|login| login.credential.user().to_owned()),
        mailbox: inputs.mailbox.clone(),
        allowed: inputs.login.as_ref().map(|login| login.mechanisms.clone()).unwrap_or_default(),
        ..About::default()
    };
    let session = slot.insert(Session::new(wire, about));
    let starttls = inputs.endpoint.security == Security::StartTLS;
    let (approach, hello) = (visit.approach, &mut visit.report.tls_hello);
    let greeting = async {
        approach.hears(session.wire(), hello).await?;
        session.greeting(starttls).await
    };
    let greeting = visit.stages.run(Stage::Greeting, greeting).await?;
    let greeting = without_code(&greeting);
    visit.stages.note(greeting);
    ask(visit, session, greeting).await?;
    if starttls {
        visit.stages.run(Stage::StartTls, session.starttls()).await?;
        if let Some(plain) = slot.take() {
            let step = Box::pin(plain.into_tls(approach.tls, &inputs.endpoint.host, Stage::Tls));
            let encrypted = approach.protect(Stage::Tls, &mut visit.stages, &mut visit.report, step).await?;
            ask(visit, slot.insert(encrypted), greeting).await?;
        }
    }
    let Some(session) = slot.as_mut() else { return Ok(None) };
    log_in(visit, session).await?;
    if visit.login().is_none() {
        let goodbye = async {
            session.logout().await.ok();
        };
        return visit.quit(goodbye).await.map(|()| None);
    }
    let Some(session) = slot.take() else { return Ok(None) };
    let wanted = Wanted { mailbox: inputs.mailbox.clone(), junk: inputs.junk.clone(), read_only: !writable };
    let mailbox = visit.stages.run(Stage::Select, ImapMailbox::open(session, &wanted)).await?;
    visit.opened(mailbox.shown());
    Ok(Some(Box::new(mailbox)))
}

/// The capabilities in a greeting are told apart from its words.
fn without_code(greeting: &str) -> &str {
    match greeting.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, words)) => words.trim_start(),
        None => greeting,
    }
}

async fn ask(visit: &mut Visit<'_>, session: &mut Session, greeting: &str) -> Result<(), Diagnosis> {
    let known = visit.stages.run(Stage::Capability, async { session.capability().await.cloned() }).await?;
    visit.learn(greeting, known.names(), &known.mechanisms());
    Ok(())
}

async fn log_in(visit: &mut Visit<'_>, session: &mut Session) -> Result<(), Diagnosis> {
    let Some(login) = visit.login() else { return Ok(()) };
    let mechanisms = session.capability().await?.mechanisms();
    let (deadline, encrypted) = (session.wire().deadline(), session.wire().is_encrypted());
    let offer = visit.offer(&mechanisms, encrypted);
    let (gate, outcome) = (visit.gate, &mut visit.report.login);
    let mechanism = visit
        .stages
        .run(Stage::Auth, async {
            let mut granted = Granted::ask(gate, login, offer, deadline).await?;
            session.scrub(granted.redaction());
            for mechanism in granted.mechanisms() {
                *outcome = Some(LoginOutcome::Undecided);
                let attempt = session.authenticate(mechanism, &granted.shown()).await;
                if let Some(result) = granted.judge(attempt, outcome) {
                    return result.map(|()| mechanism);
                }
            }
            Err(granted.exhausted())
        })
        .await?;
    visit.stages.note(format!("{} as {}", mechanism.as_str(), login.credential.user()));
    Ok(())
}
