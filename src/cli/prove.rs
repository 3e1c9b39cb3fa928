//! An `EmailProfile` proved from here: the mailbox is opened, the mail is sent or asked for, found and removed, and the
//! outgoing server takes the login. The same run as the operator's, with the permits of a person at a shell.

mod shell;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use self::shell::Shell;
use super::{
    interrupt::Interrupt,
    live::{Checker, INSTALLATION, asking},
    output::{self, Proof},
};
use crate::{
    api::{
        Reason,
        v1alpha1::{DEFAULT_ACTOR, EmailProfileSpec, Level, VerificationMode},
    },
    mail::{Diagnosis, Stage},
    verify::{
        References, Report,
        email_profile::{Begin, Codes, Errand, Inputs, Run, RunReport, Setting, Trigger, inputs::incoming, resolve, run},
        halt::told_time,
        mail_server,
        resolve::About,
    },
};

/// Somebody waits at a terminal.
const EVERY: Duration = Duration::from_secs(15);

/// Which profile is proved.
pub struct Target<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What is wanted.
    pub spec: &'a EmailProfileSpec,
}

impl Checker {
    /// Proves one profile; `adjust` may change what came of the references. None where it was told to end before it came to
    /// a result; a mail that was sent by then is looked for once more, and removed.
    pub async fn prove(
        &self,
        target: &Target<'_>,
        references: &dyn References,
        adjust: impl FnOnce(&mut Inputs),
    ) -> Option<Proof> {
        let mut spec = target.spec.clone();
        // It is proved from here, whoever else is to prove it.
        (spec.actors, spec.actor_selector) = (None, None);
        let (kind, Target { namespace, name, .. }) = ("EmailProfile", target);
        let about = About { kind, namespace, name, uid: "", key: &self.key, require_allowed_hosts: false };
        let resolved = resolve(&spec, &about, references).await;
        let mut inputs = match resolved.and_then(|inputs| inputs.waits.clone().map_or(Ok(inputs), Err)) {
            Ok(inputs) => inputs,
            Err(failure) => return Some(Proof::new(refused(&spec, failure), self.most)),
        };
        adjust(&mut inputs);
        inputs.mailbox.level = inputs.mailbox.level.min(self.most);
        let proof = Box::pin(self.prove_by(&inputs)).await;
        output::progress_ends();
        proof
    }

    async fn prove_by(&self, inputs: &Inputs) -> Option<Proof> {
        let plan = |begin, outgoing| Run {
            outgoing,
            errands: vec![Errand { actor: DEFAULT_ACTOR.to_owned(), begin, attempt: 1 }],
            ..plan()
        };
        let has_outgoing = inputs.outgoing.is_some();
        if self.most < Level::Deliver {
            return self.visit(inputs, &plan(Begin::Visit, has_outgoing)).await;
        }
        if inputs.mode == VerificationMode::Automatic {
            return Box::pin(self.send(inputs, plan(Begin::Send, has_outgoing))).await;
        }
        // Nobody is asked for a mail into a mailbox that does not open.
        let visited = self.visit(inputs, &plan(Begin::Visit, has_outgoing)).await?;
        if visited.failure().is_some() {
            return Some(Proof { level: self.most, ..visited });
        }
        let until = Timestamp::now().checked_add(inputs.timeout).unwrap_or(Timestamp::MAX);
        let asked = plan(Begin::look(until), false);
        self.ask(inputs, &asked, until);
        let permits = self.permits(&self.interrupt);
        let report = run(self.setting(inputs), &permits, &asked).await;
        if report.cut {
            return None;
        }
        Some(Proof { outgoing: visited.outgoing, ..self.proof(inputs, report, permits) })
    }

    /// Opens the mailbox and leaves it; the outgoing server is asked as far as the level says.
    async fn visit(&self, inputs: &Inputs, plan: &Run) -> Option<Proof> {
        let permits = self.permits(&self.interrupt);
        let report = run(self.setting(inputs), &permits, plan).await;
        if report.cut {
            return None;
        }
        let mut proof = self.proof(inputs, report, permits);
        proof.level = inputs.mailbox.level;
        if let (Level::Connect, Some(outgoing)) = (proof.level, &inputs.outgoing) {
            // A run asks it for its login only.
            let check = asking("", Uuid::nil(), Level::Connect);
            proof.outgoing = Some(mail_server::check(outgoing, &self.vantage, &self.refused, &check).await);
        }
        Some(proof)
    }

    /// Sends the mail and looks for it.
    async fn send(&self, inputs: &Inputs, mut plan: Run) -> Option<Proof> {
        let permits = self.permits(&self.interrupt);
        let mut report = run(self.setting(inputs), &permits, &plan).await;
        if report.cut {
            let mail = report.actors.first().and_then(|actor| actor.mail.clone()).filter(|mail| mail.dot_sent)?;
            // Nobody comes back for it: one look, and what it finds is removed.
            plan.mark = permits.mark();
            plan.outgoing = false;
            plan.errands[0].begin = Begin::look(Timestamp::now());
            let outgoing = report.outgoing.take();
            report = run(self.setting(inputs), &self.permits(&Interrupt::never()), &plan).await;
            report.outgoing = outgoing;
            for actor in &mut report.actors {
                actor.mail = Some(mail.clone());
                let failure = actor.report.failure.take();
                actor.report.failure = failure.map(|failure| match failure.reason {
                    Reason::MessageNotReceived => Diagnosis::new(Reason::MessageNotReceived)
                        .detail("the mail was sent, and had not come when the search was ended")
                        .at(failure.stage.unwrap_or(Stage::Fetch)),
                    _ => failure,
                });
            }
        }
        Some(self.proof(inputs, report, permits))
    }

    /// Asks for the mail of mode Manual. Standard output holds the result and nothing else.
    fn ask(&self, inputs: &Inputs, plan: &Run, until: Timestamp) {
        output::progress_ends();
        let code = self.codes(inputs).manual(&plan.id);
        eprintln!("Send a mail to {} with the subject ({code}) before {}.", inputs.address, told_time(until));
        eprintln!("The mailbox is looked at every {} s; Ctrl-C ends it.", EVERY.as_secs());
    }

    fn proof(&self, inputs: &Inputs, report: RunReport, permits: Shell) -> Proof {
        let RunReport { actors, outgoing, .. } = report;
        let sending = permits.sending();
        let Some(actor) = actors.into_iter().next() else {
            return Proof::new(Report::new(self.most, inputs.mailbox.endpoint.to_string()), self.most);
        };
        let from = inputs.sender.as_ref().and_then(|sender| sender.server.sender.as_ref());
        let mut report = actor.report;
        report.failure = report.failure.map(|failure| {
            let from = from.map(|from| from.address.clone()).unwrap_or_default();
            failure.fact("to", inputs.address.as_str()).fact("from", from)
        });
        Proof { mail: actor.mail, found: actor.found, sending, outgoing, ..Proof::new(report, self.most) }
    }

    fn codes<'a>(&'a self, inputs: &'a Inputs) -> Codes<'a> {
        Codes { key: &self.key, uid: &inputs.uid }
    }

    fn setting<'a>(&'a self, inputs: &'a Inputs) -> Setting<'a> {
        Setting {
            inputs,
            vantage: &self.vantage,
            codes: self.codes(inputs),
            installation: INSTALLATION,
            contact: None,
            observes: false,
            every: EVERY,
            watcher: Some(output::progress),
        }
    }

    fn permits(&self, interrupt: &Interrupt) -> Shell {
        Shell::new(&self.refused, interrupt)
    }
}

/// A run that answers nobody's request.
fn plan() -> Run {
    let (id, now) = (Uuid::new_v4().to_string(), Timestamp::now());
    Run {
        part: id.clone(),
        id,
        begun: now,
        started: now,
        trigger: Trigger::Requested,
        errands: Vec::new(),
        outgoing: false,
        subject: None,
        mark: None,
        generation: 0,
        inputs: String::new(),
        credentials: None,
        request: None,
    }
}

/// A check that ended before it touched the network.
fn refused(spec: &EmailProfileSpec, failure: Diagnosis) -> Report {
    let endpoint = incoming(spec).map(|(_, endpoint)| endpoint.to_string()).unwrap_or_default();
    Report::refused(Level::Authenticate, endpoint, failure)
}
