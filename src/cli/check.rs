//! `mailverity check`: manifests judged without a cluster, and with `--live` the servers and mailboxes in them checked from
//! here.

use std::path::PathBuf;

use clap::Args;

use super::{
    Error, Exit, alone, current,
    given::Given,
    interrupt::Interrupt,
    live::{Checker, LEVELS, Target, Way, named},
    output::{self, Format, Outcome, Subject},
    practice::Practice,
    prove, round_trip,
};
use crate::{
    api::{
        crd,
        v1alpha1::{EmailProfileSpec, Level, MailReceiverSpec, MailServerSpec, RoundTripPolicySpec},
    },
    manifest::{self, Document, Finding, Judge, Severity, stored},
};

/// Check manifests as the API server would, and for what is allowed and unwise.
///
/// Exit codes: 0 all are valid (with --live: and verified), 1 a server, a mailbox or a round trip is not verified, 2 a manifest is
/// bad.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags of a command line")]
pub struct Check {
    /// A file or a folder of manifests, or - for standard input; may be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    file: Vec<PathBuf>,
    /// Look in the folders below, too.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Check the servers, too, from here: stage by stage, as far as their verification.level says. Prove the mailboxes: a mail
    /// with a code is sent to each through its MailServer, found and removed. Prove the round trips whose answers come to a
    /// mailbox: a probe is sent, and its answer waited for.
    #[arg(long)]
    live: bool,
    /// Take what is named and not in the files from the current cluster: Secrets, ConfigMaps, MailServers, EmailProfiles.
    #[arg(long, requires = "live")]
    secrets_from_cluster: bool,
    /// Check against a mail sandbox that is started for it, instead of the servers themselves.
    #[arg(long, requires = "live", conflicts_with = "secrets_from_cluster")]
    sandbox: bool,
    /// Go no further than this, whatever the manifests say: Authenticate sends no mail (a mailbox is opened and left), Connect
    /// does not log in.
    #[arg(long, requires = "live", value_parser = named::<Level>(LEVELS), ignore_case = true, default_value = "Deliver")]
    level: Level,
    #[command(flatten)]
    way: Way,
    /// The form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Check {
    pub(super) fn run(self, no_color: bool) -> Result<Exit, Error> {
        let (documents, unreadable) = manifest::load(&self.file, self.recursive);
        let mut outcomes = offline(&documents, unreadable, &self.namespace)?;
        let mut whole = true;
        if self.live {
            let offset = outcomes.len() - documents.len();
            whole = alone(self.check(&documents, &mut outcomes[offset..]))?;
        }
        output::print(self.output, &outcomes, no_color)?;
        if outcomes.iter().all(|outcome| outcome.skipped) {
            return Err(Error::Usage(format!("there is no object of {} in these files", crd::GROUP)));
        }
        let none = |outcome: &Outcome| !outcome.is_checked() && !outcome.is_invalid();
        if self.live && whole && outcomes.iter().all(none) {
            let words = "there is no MailServer, no EmailProfile and no RoundTripPolicy in these files";
            return Err(Error::Usage(words.to_owned()));
        }
        let exit = exit(&outcomes);
        Ok(if whole { exit } else { exit.max(Exit::Unverified) })
    }

    /// Checks each server and proves each mailbox and each round trip whose manifest is valid, in the order of the files; what was
    /// found goes to its outcome. Whether it came to the end: a person may have had enough.
    async fn check(&self, documents: &[Document], outcomes: &mut [Outcome]) -> Result<bool, Error> {
        let interrupt = Interrupt::listen()?;
        let practice = if self.sandbox { Some(Practice::start().await?) } else { None };
        let judge = Judge::new()?;
        let given = self.given(documents, outcomes, &judge, practice.as_ref()).await?;
        let checker = Checker::new(self.way.vantage()?, self.level).until(interrupt.clone());
        let mut left = Vec::new();
        for (document, outcome) in documents.iter().zip(outcomes) {
            let kind = document.kind();
            if outcome.is_invalid() || outcome.skipped || !["MailServer", "EmailProfile", "RoundTripPolicy"].contains(&kind) {
                continue;
            }
            let (namespace, name) = (document.namespace(&self.namespace), document.name());
            if interrupt.is_heard() {
                left.push(format!("{kind} {namespace}/{name}"));
            } else if kind == "MailServer" {
                let mut spec: MailServerSpec = serde_json::from_value(judge.pruned(document))?;
                if let Some(practice) = &practice {
                    practice.redirect(&mut spec);
                }
                outcome.report = checker.check(&Target { namespace, name, spec: &spec }, &given, |_| {}).await;
            } else if kind == "RoundTripPolicy" {
                let spec: RoundTripPolicySpec = serde_json::from_value(judge.pruned(document))?;
                let target = round_trip::Target { namespace, name, spec: &spec, practises: practice.is_some() };
                outcome.proof = Box::pin(checker.round_trip(&target, &given)).await.map(Box::new);
            } else {
                let mut spec: EmailProfileSpec = serde_json::from_value(judge.pruned(document))?;
                let mut stand_in = None;
                if let Some(practice) = &practice {
                    let redirected = practice.redirect_profile(&mut spec);
                    stand_in = Some(practice).filter(|_| redirected.stands_in);
                    let note = |(field, words)| document.finding(Severity::Note, field, words);
                    outcome.findings.extend(redirected.notes.into_iter().map(note));
                }
                let adjust = |inputs: &mut _| stand_in.into_iter().for_each(|practice| practice.readdress(inputs));
                let target = prove::Target { namespace, name, spec: &spec };
                outcome.proof = Box::pin(checker.prove(&target, &given, adjust)).await.map(Box::new);
            }
            if !outcome.is_checked() && left.is_empty() {
                left.push(format!("{kind} {namespace}/{name}"));
            }
        }
        if !left.is_empty() {
            eprintln!("mailverity: interrupted; not checked: {}", left.join(", "));
        }
        Ok(!interrupt.is_heard())
    }

    /// What the specs may name.
    async fn given(
        &self,
        documents: &[Document],
        outcomes: &[Outcome],
        judge: &Judge,
        practice: Option<&Practice>,
    ) -> Result<Given, Error> {
        let mut given = Given::files(documents, &self.namespace).with_tokens(self.way.tokens()?);
        for (document, outcome) in documents.iter().zip(outcomes).filter(|(document, _)| document.group() == crd::GROUP) {
            let spec = Some(judge.pruned(document)).filter(|_| !outcome.is_invalid() && !outcome.skipped);
            let (namespace, name) = (document.namespace(&self.namespace), document.name());
            match document.kind() {
                "MailServer" => {
                    let mut spec: Option<MailServerSpec> = spec.map(serde_json::from_value).transpose()?;
                    if let (Some(practice), Some(spec)) = (practice, &mut spec) {
                        practice.lend(spec);
                    }
                    given.add_server(namespace, name, spec);
                }
                "EmailProfile" => given.add_profile(namespace, name, spec.map(serde_json::from_value).transpose()?),
                "MailReceiver" => {
                    let spec: Option<MailReceiverSpec> = spec.map(serde_json::from_value).transpose()?;
                    given.add_receiver(namespace, name, spec);
                }
                _ => {}
            }
        }
        if self.secrets_from_cluster {
            let client = current().await.map_err(|error| Error::Usage(format!("--secrets-from-cluster: {error}")))?;
            given = given.or_cluster(Some(client));
        }
        Ok(match practice {
            Some(practice) => practice.answer(given),
            None => given,
        })
    }
}

/// Judges every document of ours, and the Secrets and `ConfigMap`s beside them. Other kinds get a note.
fn offline(documents: &[Document], unreadable: Vec<Finding>, namespace: &str) -> Result<Vec<Outcome>, Error> {
    let judge = Judge::new()?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for finding in unreadable {
        let subject = Subject { file: finding.file.clone(), line: finding.line, ..Subject::default() };
        outcomes.push(Outcome { subject: Some(subject), findings: vec![finding], ..Outcome::default() });
    }
    let mut sound = Vec::new();
    for document in documents {
        let findings = judge_one(&judge, document);
        if !findings.iter().any(Finding::is_error) {
            sound.push(document);
        }
        let skipped = !is_known(document);
        outcomes.push(Outcome { subject: Some(subject(document, namespace)), findings, skipped, ..Outcome::default() });
    }
    // A warning goes to the object that it is about, which for Secrets is the Secret.
    let offset = outcomes.len() - documents.len();
    for finding in manifest::lint::lint(&sound, namespace) {
        let about = documents.iter().rposition(|document| {
            *document.start.file == *finding.file
                && (document.start.line, document.start.column) <= (finding.line, finding.column)
        });
        if let Some(outcome) = about.and_then(|index| outcomes.get_mut(offset + index)) {
            outcome.findings.push(finding);
        }
    }
    Ok(outcomes)
}

fn judge_one(judge: &Judge, document: &Document) -> Vec<Finding> {
    if document.kind().is_empty() || document.text(&["apiVersion"]).is_empty() {
        return vec![document.finding(Severity::Error, "", "is no Kubernetes object: apiVersion or kind is missing")];
    }
    if document.group() == crd::GROUP {
        return judge.document(document);
    }
    if stored::is_secret(document) || stored::is_config_map(document) {
        return match stored::content(document) {
            Ok(_) => Vec::new(),
            Err((field, words)) => vec![document.finding(Severity::Error, &field, words)],
        };
    }
    let message = format!("{} {} is not looked at", document.text(&["apiVersion"]), document.kind());
    vec![document.finding(Severity::Note, "", message)]
}

fn is_known(document: &Document) -> bool {
    document.group() == crd::GROUP || stored::is_secret(document) || stored::is_config_map(document)
}

fn subject(document: &Document, namespace: &str) -> Subject {
    Subject {
        file: document.start.file.to_string(),
        line: document.start.line,
        kind: document.kind().to_owned(),
        namespace: document.namespace(namespace).to_owned(),
        name: document.name().to_owned(),
    }
}

/// What the outcomes come to; the worst counts.
fn exit(outcomes: &[Outcome]) -> Exit {
    let one = |outcome: &Outcome| match outcome.result() {
        "Invalid" => Exit::Bad,
        "Unverified" => Exit::Unverified,
        _ => Exit::Good,
    };
    outcomes.iter().map(one).max().unwrap_or(Exit::Good)
}
