//! What is shown of a `MailServer`.

use mailverity::api::v1alpha1::{CheckPhase, MailServerSpec, MailServerStatus};

use super::view::{View, state, tls};

pub fn view(spec: &MailServerSpec, status: MailServerStatus) -> View {
    let mut view = View::default();
    if let Some(endpoint) = &status.endpoint {
        let active = endpoint.active.as_ref().filter(|active| **active != endpoint.address);
        let active = active.map(|active| format!("; in use is {active}")).unwrap_or_default();
        view.fact("Endpoint", Some(format!("{}, {}{active}", endpoint.address, endpoint.security.as_str())));
        view.fact("Addresses", Some(endpoint.addresses.join(", ")));
        view.fact("EHLO as", endpoint.helo.as_deref());
    }
    view.fact("Sender", spec.sender.as_ref().map(|sender| sender.address.as_str()));
    view.fact("Checked", Some(format!("{:?}, every {}", spec.level(), spec.interval())));
    view.fact("Test mail to", spec.test.as_ref().map(|test| test.to.as_str()));
    view.fact("State", state(status.state));
    view.fact("TLS", tls(status.tls.as_ref()));
    view.fact("Logins by", status.capabilities.map(|offers| offers.auth_mechanisms.join(", ")));
    view.lines("Actors", status.actors);
    if let Some(check) = &status.last_check {
        let took = check.duration.as_ref().map(|took| format!(" after {took}")).unwrap_or_default();
        let ended = match check.phase {
            CheckPhase::Running => "under way".to_owned(),
            CheckPhase::Finished => format!("{}{took}", check.result.as_deref().unwrap_or("ended")),
        };
        view.moment(check.started_at.as_ref(), format!("a check at level {:?}: {ended}", check.level));
        view.session(format!("Stages of check {}", check.id), &check.stages);
    }
    if let Some(claim) = &status.claim {
        let words = format!("the right to send a mail was taken: {}, attempt {}, run {}", claim.purpose, claim.attempt, claim.id);
        view.moment(Some(&claim.started_at), words);
    }
    view.credentials(status.credential_held_until.as_ref(), status.credential_refusals, status.oauth2.as_ref());
    view.moment(status.next_check_time.as_ref(), "the next check");
    view
}
