//! What is shown of a `MailReceiver`.

use mailverity::api::v1alpha1::{MailReceiverSpec, MailReceiverStatus};

use super::view::{View, state, tls};

pub fn view(spec: &MailReceiverSpec, status: MailReceiverStatus) -> View {
    let mut view = View::default();
    view.fact("Domains", Some(spec.domains.join(", ")));
    view.fact("Takes mail for", Some(format!("{}@ and postmaster@, on port {}", spec.notify_local_part(), spec.port())));
    view.fact("Expected MX", spec.expected_mx.as_deref());
    view.fact("State", state(status.state));
    view.fact("TLS", tls(status.tls.as_ref()));
    view.lines("Receivers", status.listeners);
    view.lines("MX records", status.mx);
    view.moment(status.next_check_time.as_ref(), "the next look at the MX records");
    view
}
