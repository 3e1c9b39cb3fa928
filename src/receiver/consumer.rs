//! Who wants the mails that come in.

use futures::future::BoxFuture;

use super::Inbound;

/// Somebody who wants mails of one kind: answers to probes, tickets, events.
pub trait Consumer: Send + Sync {
    /// Looks at a mail. It is asked before the client is answered: [`Verdict::Taken`] means that what the mail was for is done,
    /// and survives us. The same mail may come again, since a client that did not hear the answer sends it once more.
    fn take<'a>(&'a self, mail: &'a Inbound) -> BoxFuture<'a, Verdict>;
}

/// What a consumer says of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Taken,
    /// The next is asked.
    NotMine,
    /// It is mine, and cannot be done now, for this reason; the client hears 451 and comes again, the log has the reason.
    Later(String),
}
