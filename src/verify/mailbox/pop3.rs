//! POP3: greeting, capabilities, STLS, login, maildrop.

use tokio::time::Instant;

use super::{Granted, LoginOutcome, Visit, leaves_in_order};
use crate::{
    api::v1alpha1::Security,
    mail::{
        Diagnosis, Stage,
        mailbox::Mailbox,
        pop3::{About, Pop3Mailbox, Session},
        smtp::providers,
    },
};

/// See [`Visit::open`].
pub(super) async fn open(visit: &mut Visit<'_>, until: Instant) -> Result<Option<Box<dyn Mailbox>>, Diagnosis> {
    let mut slot = None;
    let result = converse(visit, until, &mut slot).await;
    if let (Err(failure), Some(session)) = (&result, &mut slot)
        && leaves_in_order(failure)
    {
        quit(session).await;
    }
    result
}

/// The stages. Where one fails, the session that can still be ended in order is left in `slot`.
async fn converse(
    visit: &mut Visit<'_>,
    until: Instant,
    slot: &mut Option<Session>,
) -> Result<Option<Box<dyn Mailbox>>, Diagnosis> {
    let (inputs, approach) = (visit.inputs, visit.approach);
    let endpoint = &inputs.endpoint;
    let mut about = About {
        host: &endpoint.host,
        port: endpoint.port,
        user: inputs.login.as_ref().map(|login| login.credential.user()).unwrap_or_default(),
        provider: providers::recognise(&endpoint.host, None),
    };
    let session = slot.insert(Session::new(visit.connect(until).await?));
    let hello = &mut visit.report.tls_hello;
    let greeting = async {
        approach.hears(session.wire(), hello).await?;
        session.greeting(&about).await
    };
    let greeting = visit.stages.run(Stage::Greeting, greeting).await?;
    visit.stages.note(greeting.as_str());
    about.provider = providers::recognise(&endpoint.host, Some(&greeting));
    ask(visit, session, &greeting).await?;
    if endpoint.security == Security::StartTLS {
        visit.stages.run(Stage::Stls, session.stls(&about)).await?;
        if let Some(plain) = slot.take() {
            let step = Box::pin(plain.into_tls(approach.tls, &endpoint.host));
            let encrypted = approach.protect(Stage::Tls, &mut visit.stages, &mut visit.report, step).await?;
            ask(visit, slot.insert(encrypted), &greeting).await?;
        }
    }
    let Some(session) = slot.as_mut() else { return Ok(None) };
    log_in(visit, session, &about).await?;
    if visit.login().is_none() {
        return visit.quit(quit(session)).await.map(|()| None);
    }
    let Some(session) = slot.take() else { return Ok(None) };
    let mailbox = visit.stages.run(Stage::List, Pop3Mailbox::open(session, &about)).await?;
    visit.opened(mailbox.shown());
    Ok(Some(Box::new(mailbox)))
}

async fn ask(visit: &mut Visit<'_>, session: &mut Session, greeting: &str) -> Result<(), Diagnosis> {
    visit.stages.run(Stage::Capa, session.capa()).await?;
    let known = session.capabilities().map(|known| known.keywords.clone()).unwrap_or_default();
    visit.learn(greeting, &known, &session.offered());
    Ok(())
}

async fn log_in(visit: &mut Visit<'_>, session: &mut Session, about: &About<'_>) -> Result<(), Diagnosis> {
    let Some(login) = visit.login() else { return Ok(()) };
    let mechanisms = session.offered();
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
                let attempt = session.authenticate(mechanism, &granted.shown(), about).await;
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

/// Says goodbye. Nothing that a server answers here matters.
async fn quit(session: &mut Session) {
    let soon = Instant::now() + super::GOODBYE;
    let wire = session.wire_mut();
    wire.set_deadline(wire.deadline().min(soon));
    session.quit().await.ok();
}
