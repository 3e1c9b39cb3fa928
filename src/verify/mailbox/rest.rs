//! Microsoft Graph and the Gmail API: connected to by the rules for HTTPS, which are those of the access token's source; the
//! first answer judges the token.

use std::future::ready;

use tokio::time::Instant;

use super::{Granted, LoginOutcome, Visit};
use crate::{
    api::v1alpha1::Mechanism,
    mail::{
        Diagnosis, Stage,
        gmail::{self, Gmail},
        graph::{self, Graph},
        https::{Https, Session},
        mailbox::Mailbox,
        protocol::Protocol,
        rest::{Client, Kind, RestMailbox, Service},
        sasl::Attempt,
    },
    verify::{Credential, approach::Approach, login::Offer, resolve::invalid},
};

/// See [`Visit::open`].
pub(super) async fn open(visit: &mut Visit<'_>, until: Instant) -> Result<Option<Box<dyn Mailbox>>, Diagnosis> {
    let session = connect(visit, until).await?;
    let Some(login) = visit.login() else {
        return visit.quit(async { drop(session) }).await.map(|()| None);
    };
    let mut service: Box<dyn Service> = match visit.inputs.protocol {
        Protocol::Gmail => Box::new(Gmail::new(Client::new(session, gmail::judge))),
        _ => Box::new(Graph::new(Client::new(session, graph::judge), login.credential.user())),
    };
    let greeted = log_in(visit, service.as_mut(), until).await?;
    let (name, junk) = (&visit.inputs.mailbox, &visit.inputs.junk);
    let opened = async {
        greeted?;
        RestMailbox::open(service, name, junk).await
    };
    let mailbox = visit.stages.run(Stage::Select, opened).await?;
    visit.opened(mailbox.shown());
    Ok(Some(Box::new(mailbox)))
}

/// DNS, TCP and TLS, by the rules for HTTPS.
async fn connect(visit: &mut Visit<'_>, until: Instant) -> Result<Session, Diagnosis> {
    let (inputs, approach) = (visit.inputs, visit.approach);
    let (host, port) = (&inputs.endpoint.host, inputs.endpoint.port);
    let https = match https(inputs.login.as_ref().map(|login| &login.credential)) {
        Ok(https) => https.at(approach.vantage),
        Err(failure) => return visit.stages.run(Stage::Secrets, ready(Err(failure))).await,
    };
    if let Err(denied) = https.admit(host, port) {
        return visit.stages.run(Stage::Dns, ready(Err(denied))).await;
    }
    let vantage = https.vantage_for(host);
    let approach = Approach { tls: https.tls(), vantage: &vantage, ..approach };
    let mut tcp = approach.reach(&mut visit.stages, &mut visit.report, until).await?;
    tcp.begin_tls();
    let step = Box::pin(approach.shake_hands(tcp, until));
    let stream = approach.protect(Stage::ImplicitTls, &mut visit.stages, &mut visit.report, step).await?;
    Session::over(https, host, port, stream, until).await.map_err(|failure| failure.at(Stage::ImplicitTls))
}

/// How requests are made: as tokens are asked for.
fn https(credential: Option<&Credential>) -> Result<&Https, Diagnosis> {
    match credential {
        Some(Credential::OAuth2 { source, .. }) => Ok(source.https()),
        _ => Err(invalid("MicrosoftGraph and GmailAPI are asked with access tokens that are had here")),
    }
}

/// The first request. What else than the token it may be refused for is told by the stage that follows.
async fn log_in(visit: &mut Visit<'_>, service: &mut dyn Service, deadline: Instant) -> Result<Result<(), Diagnosis>, Diagnosis> {
    let Some(login) = visit.login() else { return Ok(Ok(())) };
    // What RFC 6750 carries over HTTP is what this mechanism carries over SASL.
    let mechanisms = [Mechanism::OAuthBearer.as_str().to_owned()];
    let offer: Offer<'_> = visit.offer(&mechanisms, true);
    let (gate, outcome) = (visit.gate, &mut visit.report.login);
    let greeted = visit.stages.run(Stage::Auth, async {
        let mut granted = Granted::ask(gate, login, offer, deadline).await?;
        service.client().show(granted.shown().secret, granted.redaction(), granted.revoked());
        *outcome = Some(LoginOutcome::Undecided);
        let (attempt, greeted) = match service.greet().await {
            Ok(()) => (Attempt::Accepted, Ok(())),
            Err(refusal) => match refusal.kind {
                Kind::Token => (Attempt::Refused(refusal.diagnosis), Ok(())),
                Kind::No | Kind::Gone if refusal.is_of_the_api() => (Attempt::Accepted, Err(refusal.diagnosis)),
                _ => (Attempt::Failed(refusal.diagnosis), Ok(())),
            },
        };
        // A token is taken, refused or not judged: there is no other way to show it.
        granted.judge(attempt, outcome).unwrap_or(Ok(())).map(|()| greeted)
    });
    let greeted = greeted.await?;
    visit.stages.note(format!("access token as {}", login.credential.user()));
    Ok(greeted)
}
