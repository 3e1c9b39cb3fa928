//! What becomes of what was found (promise 11): ours is removed, and what earlier runs have left. Neither can make a mail
//! unfound: where it fails, that is a stage that failed.

use tokio::time::Instant;

use super::{Finding, Found, Search, look::GRACE};
use crate::mail::{
    Diagnosis, Stage, Stages,
    mailbox::{Cleanup, Earlier, Mailbox, Place, Sighting},
};

/// The most mails of earlier runs that one run removes.
const SWEPT: usize = 20;

/// The mail, of which there may be copies.
pub(super) fn found(search: &Search<'_>, copies: &[Sighting]) -> Option<Found> {
    let marked = copies.iter().find(|sighting| sighting.run.as_deref() == search.run);
    let sighting = marked.or(copies.first())?.clone();
    Some(Found { sighting, at: Instant::now(), copies: copies.len() })
}

/// Does with the copies what the search asks for, then sweeps.
pub(super) async fn settle(
    search: &Search<'_>,
    copies: &[Sighting],
    mailbox: &mut dyn Mailbox,
    stages: &mut Stages,
    finding: &mut Finding,
) {
    if search.cleanup == Cleanup::Keep {
        return;
    }
    mailbox.set_deadline(Instant::now() + GRACE);
    // Without our header a mail may be ours, and may be somebody's answer to it.
    let ours = copies.iter().filter(|sighting| search.run.is_none() || sighting.run.as_deref() == search.run);
    let ours: Vec<_> = ours.cloned().collect();
    let Finding { removed, swept, .. } = finding;
    let done = stages.run(Stage::Cleanup, async {
        *removed = mailbox.clean_up(&ours, search.cleanup).await?;
        *swept = sweep(search, mailbox).await?;
        Ok(())
    });
    if done.await.is_ok() {
        stages.note(match search.cleanup {
            Cleanup::MarkSeen => format!("marked as read: {}", finding.removed),
            _ => format!("removed: {}, of earlier runs: {}", finding.removed, finding.swept),
        });
    }
}

/// Removes the report that our mail came back: it names our mail, so it is ours.
pub(super) async fn settle_report(search: &Search<'_>, place: &Place, mailbox: &mut dyn Mailbox, stages: &mut Stages) {
    if search.cleanup == Cleanup::Delete {
        mailbox.set_deadline(Instant::now() + GRACE);
        stages.run(Stage::Cleanup, mailbox.clear(place, Cleanup::Delete)).await.ok();
    }
}

/// The mails of this run stay: those of its other actors are still looked for.
async fn sweep(search: &Search<'_>, mailbox: &mut dyn Mailbox) -> Result<usize, Diagnosis> {
    let (Cleanup::Delete, Some(run), Some(earlier)) = (search.cleanup, search.run, search.earlier) else { return Ok(0) };
    let Some(at) = run.rfind('/') else { return Ok(0) };
    let (prefix, this) = run.split_at(at + 1);
    let codes = |id: &str| if id == this { Vec::new() } else { earlier(id) };
    let left = mailbox.earlier(&Earlier { prefix, codes: &codes }, SWEPT).await?;
    mailbox.clean_up(&left, Cleanup::Delete).await
}
