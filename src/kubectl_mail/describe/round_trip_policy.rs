//! What is shown of a `RoundTripPolicy`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use mailverity::api::v1alpha1::{RoundTrip, RoundTripPolicySpec, RoundTripPolicyStatus};

use super::view::{View, state};

pub fn view(spec: &RoundTripPolicySpec, status: RoundTripPolicyStatus) -> View {
    let mut view = View::default();
    view.fact("To", Some(spec.to.as_str()));
    view.fact("Answers to", status.return_address);
    view.fact("Expected", Some(format!("{:?} within {}, every {}", spec.expect, spec.timeout(), spec.interval())));
    view.fact("State", state(status.state));
    if let Some(probe) = &status.in_flight {
        let whole = |time: &MicroTime| Time(time.0);
        let claimed = format!("the right to send probe {} was taken, attempt {}", probe.id, probe.attempt);
        view.moment(Some(&whole(&probe.claimed_at)), claimed);
        view.moment(probe.sent_at.as_ref().map(whole).as_ref(), "it was accepted, and is waited for");
        view.moment(Some(&whole(&probe.deadline)), "its time is over");
        view.moment(probe.retry_at.as_ref(), "it is tried again");
    }
    for row in status.history.iter().rev() {
        view.moment(Some(&row.sent_at), told(row));
    }
    view.moment(status.last_success_time.as_ref(), "a right answer had come in time");
    view.credentials(status.credential_held_until.as_ref(), status.credential_refusals, None);
    view.moment(status.next_probe_time.as_ref(), "the next probe");
    view
}

fn told(row: &RoundTrip) -> String {
    let took = row.duration.as_ref().map(|took| format!(", answered after {took}")).unwrap_or_default();
    let message = row.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    format!("probe {}: {}{took}{message}", row.id, row.result)
}
