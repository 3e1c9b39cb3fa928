//! A look at the MX records of a receiver's domains: all at once, within one deadline.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::Context;
use crate::{
    controllers::checks,
    mail::domain::canonical,
    runtime::Name,
    verify::mail_receiver::{Look, mx::Found},
};

/// The most time for all lookups of a receiver.
const DEADLINE: Duration = Duration::from_secs(15);
/// Lookups at once.
const AT_ONCE: usize = 8;

/// Begins a look. At its end the object is reconciled, and finds the report.
pub(super) fn start(ctx: &Arc<Context>, name: &Name, uid: String, domains: &[String], look: Look) {
    let mut once: Vec<String> = Vec::new();
    for domain in domains {
        if once.iter().all(|known| canonical(known) != canonical(domain)) {
            once.push(domain.clone());
        }
    }
    let resolver = ctx.settings().vantage.resolver.clone();
    checks::start(ctx, name, uid, look, |stop| async move {
        let deadline = Instant::now() + DEADLINE;
        let asked = stream::iter(once).map(|domain| {
            let resolver = resolver.clone();
            async move {
                let records = resolver.exchanges(&domain, deadline).await;
                Found { domain, records }
            }
        });
        tokio::select! {
            found = asked.buffered(AT_ONCE).collect::<Vec<_>>() => Some(found),
            () = stop.stopped() => None,
        }
    });
}
