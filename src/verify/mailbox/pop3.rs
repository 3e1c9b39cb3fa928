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

pub(super) async fn visit(visit: &mut Visit<'_>, until: Instant) -> Result<(), Diagnosis> {
    let inputs = visit.inputs;
    let endpoint = &inputs.endpoint;
    let mut about = About {
        host: &endpoint.host,
        port: endpoint.port,
        user: inputs.login.as_ref().map(|login| login.credential.user()).unwrap_or_default(),
        provider: providers::recognise(&endpoint.host, None),
    };
    let mut session = Session::new(visit.connect(until).await?);
    let (approach, hello) = (visit.approach, &mut visit.report.tls_hello);
    let greeting = async {
        approach.hears(session.wire(), hello).await?;
        session.greeting(&about).await
    };
    let greeting = visit.stages.run(Stage::Greeting, greeting).await?;
    visit.stages.note(greeting.as_str());
    about.provider = providers::recognise(&endpoint.host, Some(&greeting));
    ask(visit, &mut session, &greeting).await?;
    if endpoint.security == Security::StartTLS {
        visit.stages.run(Stage::Stls, session.stls(&about)).await?;
        let step = Box::pin(session.into_tls(visit.approach.tls, &endpoint.host));
        session = visit.approach.protect(Stage::Tls, &mut visit.stages, &mut visit.report, step).await?;
        ask(visit, &mut session, &greeting).await?;
    }
    if let Err(failure) = log_in(visit, &mut session, &about).await {
        if leaves_in_order(&failure) {
            quit(&mut session).await;
        }
        return Err(failure);
    }
    if visit.login().is_none() {
        return visit
            .stages
            .run(Stage::Quit, async {
                quit(&mut session).await;
                Ok(())
            })
            .await;
    }
    let mailbox = visit.stages.run(Stage::List, Pop3Mailbox::open(session, &about)).await?;
    visit.opened(mailbox.shown());
    visit
        .stages
        .run(Stage::Quit, async {
            Box::new(mailbox).close().await;
            Ok(())
        })
        .await
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
