//! A run: each actor opens the mailbox, is sent its mail, and looks for it; beside it the login to the outgoing server is
//! proved. The same for the controller and for a laptop; who may log in and send is asked of [`Permits`].

mod again;
mod note;
mod post;
mod returns;
mod stand;

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all, join3};
use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use super::{ActorReport, Begin, Errand, Finding, Inputs, Run, RunReport};
use crate::{
    api::{
        Reason,
        v1alpha1::{Level, VerificationMode},
    },
    mail::{Diagnosis, Vantage, mailbox::Cleanup, message::run_header, stage::Record},
    verify::{
        Gate, Report,
        fingerprint::Key,
        gate::Until,
        mail_server,
        mailbox::attend::{self, Patience, Search},
        report::LoginOutcome,
    },
};
use again::Again;
use note::{Note, Taken};
use post::Post;
use returns::{Reports, came_back, judged, watch_returns};
pub use stand::{Agent, Noted, Outcome, Stand};

/// In mode Manual a person takes their time: a look a minute, where nobody waits at a terminal.
pub const EVERY: Duration = Duration::from_mins(1);
/// How long a mailbox may take to be left in order once nothing is looked for any more.
const LEAVING: Duration = Duration::from_secs(3);
/// Whose code a mail of mode Manual carries: that of all actors.
const ANYBODY: &str = "";

/// The codes of an object's mails: made from the installation's key, so that another process looks for the same ones, and
/// nobody else can guess them.
#[derive(Clone, Copy, Debug)]
pub struct Codes<'a> {
    /// The installation's key.
    pub key: &'a Key,
    /// The object's UID.
    pub uid: &'a str,
}

impl Codes<'_> {
    /// The code in an actor's mail.
    #[must_use]
    pub fn of(&self, run: &str, actor: &str) -> Uuid {
        self.key.code(&[self.uid.as_bytes(), run.as_bytes(), actor.as_bytes()])
    }

    /// The code that a person is asked to send.
    #[must_use]
    pub fn manual(&self, run: &str) -> Uuid {
        self.of(run, ANYBODY)
    }

    /// What the Message-ID and the ENVID of an actor's mail are made of. A status may tell them.
    #[must_use]
    pub fn message(&self, run: &str, actor: &str) -> Uuid {
        self.key.code(&[self.uid.as_bytes(), run.as_bytes(), actor.as_bytes(), b"message"])
    }
}

/// Asked before each step that acts on somebody's account.
pub trait Permits: Send + Sync {
    /// The gate of logins to the mailbox and to the outgoing server.
    fn logins(&self) -> &dyn Gate;

    /// The gate of the mail to an actor, whose mailbox held this before: takes the claim.
    fn sending<'a>(&'a self, actor: &'a str, mark: &'a str) -> Box<dyn Gate + 'a>;

    /// From where an actor looks.
    fn stand<'a>(&'a self, actor: &'a str) -> Stand<'a> {
        let _ = actor;
        Stand::Here(None)
    }

    /// Whether the claim to send an actor its mail was taken for this run: only such a claim may be given back.
    fn has_claimed(&self, actor: &str) -> bool {
        let _ = actor;
        true
    }

    /// Waits for a turn to send through the server; it is held until what comes back is dropped.
    fn turn(&self) -> BoxFuture<'_, Box<dyn Send>>;

    /// No more connecting or sending is to be expected of this run: from here on it only waits.
    fn waits(&self);

    /// Takes note of what an actor has found, before the mail is removed. Whether it may be: with a process that dies what it
    /// found and did not write down is gone.
    fn found<'a>(&'a self, report: &'a ActorReport) -> BoxFuture<'a, bool> {
        let _ = report;
        std::future::ready(true).boxed()
    }

    /// Told how the server took a mail, stage by stage, once it has answered.
    fn sent(&self, report: &Report) {
        let _ = report;
    }

    /// Ends when the run is to end. A mail that is on its way is settled first.
    fn ends(&self) -> BoxFuture<'_, ()>;
}

/// Where a run stands.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// What it needs.
    pub inputs: &'a Inputs,
    /// From where it connects.
    pub vantage: &'a Vantage,
    /// The codes of the object's mails.
    pub codes: Codes<'a>,
    /// The installation's name, for the mails' header.
    pub installation: &'a str,
    /// Whom a reader of a mail may ask.
    pub contact: Option<&'a str>,
    /// Whether nothing may be deleted (mode Observe).
    pub observes: bool,
    /// The time between two looks for a mail that a person sends.
    pub every: Duration,
    /// Told each finished stage.
    pub watcher: Option<fn(&Record)>,
}

/// Runs what is left of a run: all its actors at once.
pub async fn run(setting: Setting<'_>, permits: &dyn Permits, run: &Run) -> RunReport {
    let (opened, wait) = watch::channel(Opened::NotYet);
    let (reports, (over, is_over)) = (watch::channel(Reports::default()).0, watch::channel(false));
    let actors = async {
        let actors = run.errands.iter().map(|errand| actor(setting, permits, run, errand, (&opened, &reports)));
        let actors = join_all(actors).await;
        over.send_replace(true);
        // Whoever waits for a mailbox to open waits no longer.
        opened.send_if_modified(|opened| std::mem::replace(opened, opened.or(Opened::Never)) == Opened::NotYet);
        actors
    };
    let returns = Box::pin(watch_returns(setting, permits, run, &reports, is_over));
    let (actors, outgoing, ()) = join3(actors, outgoing(setting, permits, run, wait), returns).await;
    let cut = actors.iter().any(|actor| actor.awaits);
    RunReport { actors, outgoing, cut }
}

/// Whether the account was let in to the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    NotYet,
    Yes,
    Never,
}

impl Opened {
    fn or(self, other: Self) -> Self {
        if self == Self::NotYet { other } else { self }
    }
}

/// Proves the login to the outgoing server, once the mailbox has let the account in: a password that is refused there is not
/// tried here (promise 7).
async fn outgoing(setting: Setting<'_>, permits: &dyn Permits, run: &Run, mut opened: watch::Receiver<Opened>) -> Option<Report> {
    let server = setting.inputs.outgoing.as_ref().filter(|_| run.outgoing)?;
    let may_wait = run.errands.iter().any(|errand| !matches!(errand.begin, Begin::Look { .. }));
    if may_wait && opened.wait_for(|opened| *opened != Opened::NotYet).await.is_ok_and(|opened| *opened == Opened::Never) {
        return None;
    }
    let check = mail_server::Run {
        id: &run.id,
        code: Uuid::nil(),
        message: Uuid::nil(),
        reads_bounces: false,
        probe: None,
        now: Timestamp::now(),
        installation: setting.installation,
        contact: setting.contact,
        level: Level::Authenticate,
        may_greet_with_tls: true,
        watcher: setting.watcher,
    };
    tokio::select! {
        report = mail_server::check(server, setting.vantage, permits.logins(), &check) => Some(report),
        () = permits.ends() => None,
    }
}

async fn actor(
    setting: Setting<'_>,
    permits: &dyn Permits,
    run: &Run,
    errand: &Errand,
    (opened, reports): (&watch::Sender<Opened>, &watch::Sender<Reports>),
) -> ActorReport {
    let inputs = setting.inputs;
    let mut told = ActorReport {
        name: errand.actor.clone(),
        attempt: errand.attempt,
        report: Report::new(Level::Authenticate, inputs.mailbox.endpoint.to_string()),
        mail: None,
        claimed: false,
        awaits: false,
        found: None,
        mark: run.mark.clone(),
    };
    let stand = permits.stand(&errand.actor);
    let let_in = |opened: &watch::Sender<Opened>, report: &Report| {
        let accepted = report.login == Some(LoginOutcome::Accepted);
        opened.send_if_modified(|opened| accepted && std::mem::replace(opened, Opened::Yes) != Opened::Yes);
    };
    if errand.begin == Begin::Visit {
        let visited = tokio::select! {
            report = stand.visit(setting, permits) => Some(report),
            () = permits.ends() => None,
        };
        told.awaits = visited.is_none();
        told.report = visited.unwrap_or(told.report);
        let_in(opened, &told.report);
        return told;
    }
    let manual = inputs.mode == VerificationMode::Manual;
    let code = if manual { setting.codes.manual(&run.id) } else { setting.codes.of(&run.id, &errand.actor) };
    let header = run_header(setting.installation, &inputs.uid, &run.id);
    let earlier = |id: &str| earlier(setting, run, id);
    let search = Search {
        code,
        run: (!manual).then_some(header.as_str()),
        cleanup: if setting.observes { Cleanup::Keep } else { inputs.cleanup },
        timeout: inputs.timeout,
        patience: if manual { Patience::Return { every: setting.every } } else { Patience::Stay },
        earlier: (!manual && !setting.observes).then_some(&earlier),
        witness: None,
    };
    let mut post = Post::new(setting, permits, run, errand, code, opened);
    let progress = post.progress();
    let note = Note::new(setting, permits, told.clone(), post.mail());
    let begin = match errand.begin {
        Begin::Send => attend::Begin::Send(&mut post),
        Begin::Look { until, .. } => {
            permits.waits();
            resumed(setting, run, errand, until)
        }
        Begin::Visit => return told,
    };
    let returned = watch::channel(false);
    let gate = Until { gate: permits.logins(), over: returned.1 };
    let came_back = async {
        came_back(reports.subscribe(), &errand.actor).await;
        returned.0.send_replace(true);
        tokio::time::sleep(LEAVING).await;
    };
    let looking = async {
        let mut again = Again::of(errand.begin, inputs.mailbox.protocol);
        let mut outcome = stand.attend(setting, &gate, &search, begin, &note).await;
        while let Some(until) = again.begins(&outcome).await {
            // Where it stands may have changed: an Actor is there again.
            let stand = permits.stand(&errand.actor);
            outcome = stand.attend(setting, &gate, &search, resumed(setting, run, errand, until), &note).await;
        }
        outcome
    };
    let outcome = tokio::select! {
        outcome = looking => Some(outcome),
        () = came_back => {
            let report = Report::new(Level::Authenticate, inputs.mailbox.endpoint.to_string());
            Some(Outcome { report, found: None, mark: None })
        }
        () = post::may_end(permits, progress) => None,
    };
    told.mail = post.mail().read();
    told.claimed = permits.has_claimed(&errand.actor);
    let (found, outcome) = match note.taken() {
        Taken::Nothing => (None, outcome),
        // It may have been cut off while its mail was being removed.
        Taken::Found(taken) => {
            let (found, so_far) = *taken;
            told.report = so_far;
            (Some(found), outcome)
        }
        Taken::Lapsed => (None, None),
    };
    let Some(outcome) = outcome else {
        (told.awaits, told.found) = (found.is_none(), found);
        return told;
    };
    let_in(opened, &outcome.report);
    told.mark = told.mark.or(outcome.mark);
    told.found = found.or_else(|| outcome.found.map(|(took, results)| Finding { received: Timestamp::now(), took, results }));
    told.report = outcome.report;
    if told.found.is_none() {
        told.report.failure = judged(&reports.borrow(), &errand.actor, told.report.failure.take());
    }
    told.report.failure = told.report.failure.take().map(|failure| post.explain(failure));
    told
}

/// A search for a mail that was sent before, or is sent by a person.
fn resumed<'a>(setting: Setting<'_>, run: &Run, errand: &Errand, until: Timestamp) -> attend::Begin<'a> {
    let automatic = setting.inputs.mode == VerificationMode::Automatic;
    let message = automatic.then(|| setting.codes.message(&run.id, &errand.actor).to_string());
    attend::Begin::Resume {
        mark: run.mark.as_deref().and_then(|mark| mark.parse().ok()),
        until: instant(until),
        message_id: message.as_ref().zip(post::domain(setting.inputs)).map(|(id, domain)| format!("<{id}@{domain}>")),
        envelope_id: message,
    }
}

/// The codes of an earlier run, whose mails may be removed: this one's are still looked for by other actors.
fn earlier(setting: Setting<'_>, run: &Run, id: &str) -> Vec<Uuid> {
    if id == run.id {
        return Vec::new();
    }
    setting.inputs.actors.iter().map(|actor| setting.codes.of(id, &actor.name)).collect()
}

fn instant(until: Timestamp) -> Instant {
    let left = until.duration_since(Timestamp::now());
    Instant::now() + Duration::try_from(left).unwrap_or(Duration::ZERO)
}

/// A run that could not begin: a reference is missing, or the spec makes no sense.
#[must_use]
pub fn refused(failure: Diagnosis) -> RunReport {
    let mut report = Report::new(Level::Authenticate, String::new());
    report.failure = Some(failure);
    let name = crate::api::v1alpha1::DEFAULT_ACTOR.to_owned();
    let actor = ActorReport { name, attempt: 1, report, mail: None, claimed: false, awaits: false, found: None, mark: None };
    RunReport { actors: vec![actor], outgoing: None, cut: false }
}

/// Whether a failure says that the mail itself is not in the mailbox.
pub(super) fn is_about_the_mail(failure: &Diagnosis) -> bool {
    matches!(failure.reason, Reason::MessageNotReceived | Reason::MessageInJunk | Reason::MessageBounced)
}
