//! A search from its beginning to its end, over as many sessions as it takes.

use std::time::Instant as Clock;

use tokio::time::{Instant, sleep_until};

use super::{
    Begin, Dispatched, Finding, Patience, Search,
    look::{Ending, GRACE, Ids, Quest},
    settle::{found, settle, settle_report},
    times::{BackOff, next_look},
};
use crate::{
    api::Reason,
    mail::{
        Diagnosis, Stage, Vantage,
        mailbox::{Cleanup, Mailbox, Mark},
        protocol::Protocol,
        stage::Record,
    },
    verify::{
        Gate, Report,
        mailbox::{Inputs, Visit, leaves_in_order},
    },
};

/// What is around a search.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) vantage: &'a Vantage,
    pub(super) gate: &'a dyn Gate,
    pub(super) watcher: Option<fn(&Record)>,
}

/// A session, and the mailbox that is open in it.
struct Open<'a> {
    visit: Visit<'a>,
    mailbox: Box<dyn Mailbox>,
}

/// A search under way.
struct Running<'a> {
    around: Around<'a>,
    search: &'a Search<'a>,
    finding: Finding,
    /// Whether sessions of this mailbox can stay; not known before the first.
    can_stay: Option<bool>,
}

/// Whether a search goes on behind a session.
enum Then {
    Over,
    LookAgain,
    /// The session failed, in a way that time may cure.
    TryAgain,
}

pub(super) async fn run<'a>(around: Around<'a>, search: &'a Search<'a>, begin: Begin<'_>) -> Finding {
    let clock = Clock::now();
    let finding = Finding {
        report: Report::new(around.inputs.level, around.inputs.endpoint.to_string()),
        found: None,
        delayed: None,
        in_junk: None,
        mark: None,
        dispatched: None,
        sessions: 0,
        removed: 0,
        swept: 0,
    };
    let mut running = Running { around, search, finding, can_stay: None };
    if let Some((quest, open)) = Box::pin(running.begin(begin)).await {
        Box::pin(running.go_on(quest, open)).await;
    }
    running.finding.report.duration = around.inputs.resolving + clock.elapsed();
    running.finding
}

impl<'a> Running<'a> {
    /// Notes what is there, and sends; none where that failed, and the search with it.
    async fn begin(&mut self, begin: Begin<'_>) -> Option<(Quest<'a>, Option<Open<'a>>)> {
        let patience = self.around.inputs.timeout;
        let dispatch = match begin {
            Begin::Send(dispatch) => dispatch,
            Begin::Resume { mark, until, message_id, envelope_id } => {
                self.finding.mark.clone_from(&mark);
                let accepted = until.checked_sub(self.search.timeout).unwrap_or(until);
                // Without a mark all that is there may be new, as with one that does not hold.
                let mark = mark.unwrap_or(Mark::Pop3 { messages: 0 });
                let ids = Ids { message: message_id, envelope: envelope_id };
                let mut quest = Quest::new(self.search, mark, accepted, patience, ids);
                quest.until = until;
                return Some((quest, None));
            }
        };
        let mut open = self.open(Instant::now() + patience).await?;
        let mark = match open.mailbox.note().await {
            Ok(mark) => mark,
            Err(failure) => {
                self.close(open, Err(failure)).await;
                return None;
            }
        };
        self.finding.mark = Some(mark.clone());
        let mut open = Some(open);
        if !self.stays()
            && let Some(open) = open.take()
        {
            // A maildrop that is locked may take no mail.
            self.close(open, Ok(())).await;
        }
        match dispatch.dispatch(&mark).await {
            Ok(dispatched) => {
                let Dispatched { at, message_id, envelope_id } = dispatched.clone();
                let ids = Ids { message: message_id, envelope: envelope_id };
                self.finding.dispatched = Some(dispatched);
                Some((Quest::new(self.search, mark, at, patience, ids), open))
            }
            Err(failure) => {
                if let Some(open) = open {
                    self.close(open, Ok(())).await;
                }
                // Its facts are those of the server that was to take the mail.
                self.finding.report.failure = Some(failure);
                None
            }
        }
    }

    /// Looks, and comes back until the search is over.
    async fn go_on(&mut self, mut quest: Quest<'a>, mut open: Option<Open<'a>>) {
        let mut back_off = BackOff::default();
        if open.is_none() && self.finding.dispatched.is_some() && self.ends_before(self.next_look(&quest)).await {
            return;
        }
        loop {
            let begun = Instant::now();
            let last = begun >= quest.until;
            let then = match open.take() {
                Some(open) => self.look(open, &mut quest).await,
                None => match self.open(quest.deadline(begun)).await {
                    Some(open) => self.look(open, &mut quest).await,
                    None => self.tried_again(),
                },
            };
            let next = match then {
                Then::Over => return,
                _ if last => return,
                Then::TryAgain if self.stays() => {
                    let asked_for = self.finding.report.failure.as_ref().and_then(|failure| failure.after);
                    Instant::now() + back_off.after(begun.elapsed()).max(asked_for.unwrap_or_default())
                }
                Then::TryAgain | Then::LookAgain => self.next_look(&quest),
            };
            if self.ends_before(next.min(quest.until)).await {
                return;
            }
        }
    }

    /// Waits until then; whether the search was not wanted any more before.
    async fn ends_before(&self, then: Instant) -> bool {
        tokio::select! {
            () = sleep_until(then) => false,
            () = self.around.gate.ends() => true,
        }
    }

    /// Whether a session is held until the search ends.
    fn stays(&self) -> bool {
        self.can_stay == Some(true) && self.search.patience == Patience::Stay
    }

    fn next_look(&self, quest: &Quest<'_>) -> Instant {
        let now = Instant::now().saturating_duration_since(quest.accepted);
        quest.accepted + next_look(now, self.search.timeout, self.search.patience, self.can_stay != Some(true))
    }

    /// Opens a session; none where that failed, and the report says why.
    async fn open(&mut self, until: Instant) -> Option<Open<'a>> {
        let Around { inputs, vantage, gate, watcher } = self.around;
        self.finding.sessions += 1;
        let mut visit = Visit::new(inputs, vantage, gate, watcher);
        let writable = self.search.cleanup != Cleanup::Keep;
        let no_login =
            || Diagnosis::new(Reason::SpecInvalid).fact("fault", "a mailbox is opened with an account, and none is set");
        // Far larger than what is kept of it while one waits.
        let opened = Box::pin(visit.open(until, writable)).await;
        match opened.and_then(|mailbox| mailbox.ok_or_else(no_login)) {
            Ok(mailbox) => {
                self.can_stay = Some(mailbox.stays());
                Some(Open { visit, mailbox })
            }
            Err(failure) => {
                self.finding.report = visit.finish(Err(failure));
                None
            }
        }
    }

    /// Looks in one session, settles what was found, and closes it.
    async fn look(&mut self, open: Open<'a>, quest: &mut Quest<'a>) -> Then {
        let Open { mut visit, mut mailbox } = open;
        let (Inputs { protocol, mailbox: name, .. }, gate) = (self.around.inputs, self.around.gate);
        let stage = if *protocol == Protocol::Pop3 { Stage::Top } else { Stage::Fetch };
        let mut ending = None;
        let stays = self.stays();
        let looking = async {
            let came = quest.follow(mailbox.as_mut(), stays, gate).await?;
            let judged = quest.judge(&came, name);
            ending = Some(came);
            judged
        };
        let result = visit.stages.run(stage, looking).await;
        self.finding.delayed.clone_from(&quest.delayed);
        let mut may_go = true;
        let (copies, then) = match ending {
            None => {
                self.close(Open { visit, mailbox }, result).await;
                return self.tried_again();
            }
            Some(Ending::NotYet) => (Vec::new(), Then::LookAgain),
            Some(Ending::Bounced(_, place)) => {
                settle_report(self.search, &place, mailbox.as_mut(), &mut visit.stages).await;
                (Vec::new(), Then::Over)
            }
            Some(Ending::Nowhere | Ending::Unwanted) => (Vec::new(), Then::Over),
            Some(Ending::Found(copies)) => {
                visit.stages.note("found");
                self.finding.found = found(self.search, &copies);
                if let Some(witness) = self.search.witness {
                    may_go = witness.found(&self.finding, visit.so_far()).await;
                }
                (copies, Then::Over)
            }
            Some(Ending::InJunk(copies)) => {
                self.finding.in_junk = found(self.search, &copies);
                (copies, Then::Over)
            }
        };
        if !copies.is_empty() && may_go {
            settle(self.search, &copies, mailbox.as_mut(), &mut visit.stages, &mut self.finding).await;
        }
        self.close(Open { visit, mailbox }, result).await;
        then
    }

    /// Says goodbye where the conversation still allows it, and keeps what the session came to.
    async fn close(&mut self, open: Open<'a>, result: Result<(), Diagnosis>) {
        let Open { mut visit, mut mailbox } = open;
        if result.as_ref().err().is_none_or(leaves_in_order) {
            mailbox.set_deadline(Instant::now() + GRACE);
            visit.leave(mailbox).await.ok();
        }
        self.finding.report = visit.finish(result);
    }

    /// Whether the failure in the report ends the search.
    fn tried_again(&self) -> Then {
        if self.finding.report.may_pass() { Then::TryAgain } else { Then::Over }
    }
}
