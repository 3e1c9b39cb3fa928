//! `kubectl mail code`: what a person is asked to send in mode Manual.

use clap::{Args, ValueEnum};
use kube::Api;
use mailverity::api::v1alpha1::{EmailProfile, ProfileActorState, VerificationMode, condition};
use serde::Serialize;

use super::{Connect, Error, Exit};

/// Print the address, the subject and the deadline of the mail that mode Manual asks for.
///
/// Exit codes: 0 it is printed, 1 no mail is asked for at the moment, 2 mode Automatic, or no such profile.
#[derive(Args, Debug)]
pub struct Code {
    /// The EmailProfile's name.
    #[arg(value_name = "EMAILPROFILE")]
    name: String,
    /// The form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// The forms of output.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// The mail.
#[derive(Serialize)]
struct Asked<'a> {
    to: &'a str,
    subject: &'a str,
    deadline: String,
}

impl Code {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let profile = Api::<EmailProfile>::namespaced(client, &namespace).get(&self.name).await?;
        let name = &self.name;
        if profile.spec.mode() == VerificationMode::Automatic {
            eprintln!("{name} is in mode Automatic; set verification.mode: Manual to send the code yourself");
            return Ok(Exit::Bad);
        }
        let status = profile.status.unwrap_or_default();
        let awaited = status.actors.iter().any(|actor| actor.state == ProfileActorState::AwaitingMessage);
        let asked = status.verification.as_ref().filter(|_| awaited).and_then(|verification| {
            let deadline = verification.deadline.as_ref()?.0.to_string();
            Some(Asked { to: verification.to.as_deref()?, subject: verification.subject.as_deref()?, deadline })
        });
        let Some(asked) = asked else {
            let ready = status.conditions.iter().find(|c| c.type_ == condition::READY || c.type_ == condition::SUSPENDED);
            let why = ready.map(|ready| format!(" ({}: {})", ready.reason, ready.message)).unwrap_or_default();
            eprintln!("{name}: no mail is asked for at the moment{why}");
            eprintln!("kubectl mail verify {name} asks for one");
            return Ok(Exit::Unverified);
        };
        match self.output {
            Format::Json => println!("{}", serde_json::to_string_pretty(&asked)?),
            Format::Text => println!("To:       {}\nSubject:  {}\nDeadline: {}", asked.to, asked.subject, asked.deadline),
        }
        Ok(Exit::Good)
    }
}
