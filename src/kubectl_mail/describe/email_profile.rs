//! What is shown of an `EmailProfile`.

use mailverity::api::v1alpha1::{EmailProfileSpec, EmailProfileStatus, ProfileActorState, ProfileActorStatus};

use super::view::{View, state, tls};

pub fn view(spec: &EmailProfileSpec, status: EmailProfileStatus) -> View {
    let mut view = View::default();
    let server = spec.server.as_ref().map(|server| server.host.clone());
    let place = server.or_else(|| spec.provider.map(|provider| format!("{provider:?}"))).map(|host| format!(" at {host}"));
    view.fact("Address", Some(spec.address.as_str()));
    view.fact("Mailbox", Some(format!("{:?}{}", spec.protocol, place.unwrap_or_default())));
    view.fact(
        "Verified",
        status.summary.map(|summary| format!("{summary} actors, mode {:?}, every {}", spec.mode(), spec.interval())),
    );
    view.fact("State", state(status.state));
    view.fact("TLS", tls(status.tls.as_ref()));
    if let Some(run) = &status.verification {
        view.moment(run.started_at.as_ref(), format!("run {} began", run.run_id));
        let awaited = status.actors.iter().any(|actor| actor.state == ProfileActorState::AwaitingMessage);
        view.moment(run.deadline.as_ref().filter(|_| awaited), "the time of this run's mails is over");
    }
    for claim in &status.claims {
        let words = format!("the right to send the mail for {} was taken, attempt {}", claim.actor, claim.attempt);
        view.moment(Some(&claim.started_at), words);
    }
    for actor in &status.actors {
        moments(actor, &mut view);
        view.session(format!("Stages of the last session of {}", actor.name), &actor.checks);
    }
    view.lines("Actors", status.actors);
    view.lines("Outgoing server", status.outgoing);
    view.moment(status.last_verified_time.as_ref(), "all actors had found their mails");
    view.credentials(status.credential_held_until.as_ref(), status.credential_refusals, status.oauth2.as_ref());
    view.moment(status.next_run_time.as_ref(), "the next look");
    view
}

fn moments(actor: &ProfileActorStatus, view: &mut View) {
    view.moment(actor.sent_time.as_ref(), format!("the mail for {} was accepted", actor.name));
    let took = actor.duration.as_ref().map(|took| format!(", {took} after it was sent")).unwrap_or_default();
    view.moment(actor.received_time.as_ref(), format!("{} found its mail{took}", actor.name));
}
