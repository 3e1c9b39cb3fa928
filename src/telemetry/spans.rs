//! What is traced: a check, a run, a probe or an agent's task, and beneath it each stage. In a trace are names, ids and reasons; never
//! what a server said, as that may be longer, and more, than a trace should hold.
//!
//! They are spans of a target of their own, which no log shows. Where nobody traces they are off, and cost a look at a flag.

use tracing::{Span, field::Empty};

use crate::{api::Reason, mail::Stage, runtime::Name};

/// The target of these spans.
pub const TARGET: &str = "mailverity::trace";

/// A check of an object of this kind, by its id: the root of a trace.
pub fn check(kind: &'static str, name: &Name, id: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "check",
        otel.name = kind,
        mailverity.kind = kind,
        k8s.namespace.name = name.namespace,
        mailverity.name = name.name,
        mailverity.check = id,
        mailverity.reason = Empty,
        otel.status_code = Empty,
    )
}

/// A task of an agent, for an object such as `EmailProfile team/box`, in this run: the root of a trace.
pub fn task(name: &str, object: &str, run: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "task",
        otel.name = "ActorTask",
        mailverity.kind = "ActorTask",
        mailverity.name = name,
        mailverity.object = object,
        mailverity.check = run,
    )
}

/// A stage of it.
pub fn stage(stage: Stage) -> Span {
    tracing::info_span!(
        target: TARGET,
        "stage",
        otel.name = stage.as_str(),
        mailverity.reason = Empty,
        otel.status_code = Empty,
    )
}

/// What a span came to: the reason why it failed, or none.
pub fn ended(span: &Span, reason: Option<Reason>) {
    match reason {
        Some(reason) => {
            span.record("mailverity.reason", reason.as_str());
            span.record("otel.status_code", "ERROR");
        }
        None => {
            span.record("otel.status_code", "OK");
        }
    }
}
