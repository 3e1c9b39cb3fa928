//! What is shown of an `Actor`.

use mailverity::api::v1alpha1::{ActorObjectStatus, ActorSpec};

use super::view::View;

pub fn view(spec: &ActorSpec, status: ActorObjectStatus) -> View {
    let mut view = View::default();
    view.fact("Zone", spec.zone.as_deref());
    view.fact("Mode", Some(format!("{:?}", spec.mode)));
    view.fact("Tasks in", spec.task_namespace.as_deref());
    view.fact("Version", status.version);
    view.fact("Pod", status.pod_name);
    view.fact("Node", status.node_name);
    view.fact("Interfaces", Some(status.interfaces.join(", ")));
    view.fact("Connects from", Some(status.source_ips.join(", ")));
    view.fact("Is seen as", Some(status.observed_ips.join(", ")));
    view.moment(status.last_seen_time.as_ref(), "it became online or offline");
    view
}
