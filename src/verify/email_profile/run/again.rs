//! Looking once more for a mail that another process sent, or that a halt interrupted. Its time may be over when it is taken up: if
//! the one look that is left fails, nobody has looked, and that says nothing of the mail. So that look is tried again for a while.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::{Begin, Outcome, instant, is_about_the_mail};
use crate::{
    mail::{Diagnosis, protocol::Protocol},
    verify::{email_profile::judge::is_open, mailbox::attend::Tries},
};

/// The tries of one actor's search.
pub(super) struct Again {
    /// When the mail's time is over; none where the search is the first for it, and has had all of that time.
    until: Option<Timestamp>,
    taken_up: Instant,
    begun: Instant,
    tries: Tries,
}

impl Again {
    /// Those of a search that begins now.
    pub(super) fn of(begin: Begin, protocol: Protocol) -> Self {
        let now = Instant::now();
        let (until, left) = match begin {
            Begin::Look { until, tries_until: Some(tries) } => (Some(until), instant(tries).saturating_duration_since(now)),
            Begin::Look { .. } | Begin::Send | Begin::Visit => (None, Duration::ZERO),
        };
        Self { until, taken_up: now, begun: now, tries: Tries::new(left, protocol) }
    }

    /// Waits until the search is to be begun again behind what came of it; none where it is not. When the mail's time is over.
    pub(super) async fn begins(&mut self, outcome: &Outcome) -> Option<Timestamp> {
        let until = self.until?;
        let failure = outcome.report.failure.as_ref().filter(|failure| is_in_the_way(outcome, failure))?;
        let since = |then: Instant| then.saturating_duration_since(self.taken_up);
        let (begun, now) = (since(self.begun), since(Instant::now()));
        let next = self.tries.next(begun, now, failure.after)?;
        sleep_until(self.taken_up + next).await;
        self.begun = Instant::now();
        Some(until)
    }
}

/// Whether a failure kept the mail from being looked for, and may be over soon. Our own limits end a search, and it goes on when
/// they do.
fn is_in_the_way(outcome: &Outcome, failure: &Diagnosis) -> bool {
    outcome.found.is_none() && outcome.report.may_pass() && !is_about_the_mail(failure) && !is_open(failure)
}
