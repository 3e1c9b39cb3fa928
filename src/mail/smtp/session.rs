//! One SMTP conversation, a function a stage, in the order of RFC 5321: what is said, what is answered, and what a refusal
//! means. When the next stage runs is decided by who calls.

use std::{fmt::Write as _, time::Duration};

use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{About, Extensions, LoginJudgement, Reply, ReplyClass, classify};
use crate::{
    api::{Reason, v1alpha1::Mechanism},
    mail::{
        Diagnosis, Stage,
        message::Composed,
        protocol::{self, Found, Protocol},
        sasl::{self, Attempt, Exchange, Login},
        wire::{Wire, broke},
    },
};

/// The most rounds of one login.
const ROUNDS: usize = 8;
/// The time for an answer that changes nothing.
const COURTESY: Duration = Duration::from_secs(1);

/// Waits for the greeting. Waiting means waiting: delays of 5 to 30 seconds are normal, and who speaks first is blocked.
///
/// # Errors
/// As [`Wire::reply`], and what a greeting other than 220 means.
pub async fn banner(wire: &mut Wire, about: &About<'_>) -> Result<Reply, Diagnosis> {
    let reply = wire.reply().await?;
    if reply.code != 220 {
        return Err(classify(Stage::Banner, &reply, about));
    }
    match protocol::of_greeting(&reply.lines.join(" ")) {
        Some(name) => Err(Found::Other(name).diagnose(wire.peer(), Protocol::Smtp).words(reply.text())),
        None => Ok(reply),
    }
}

/// Says EHLO, or HELO where EHLO is refused (RFC 5321 section 3.2).
///
/// # Errors
/// What the refusal of both means.
pub async fn ehlo(wire: &mut Wire, stage: Stage, about: &About<'_>) -> Result<Extensions, Diagnosis> {
    let reply = wire.command(&format!("EHLO {}", about.helo)).await?;
    if reply.is_positive() {
        return Ok(Extensions::parse(&reply, about.helo));
    }
    // 500, 502 and 504 say that EHLO is not known; 550 and 554 also come from old filters that know only HELO.
    if reply.class() != ReplyClass::Permanent {
        return Err(classify(stage, &reply, about));
    }
    // Some hang up after a refused EHLO: what they said before tells more than that they did.
    let Ok(second) = wire.command(&format!("HELO {}", about.helo)).await else {
        return Err(classify(stage, &reply, about));
    };
    if second.is_positive() {
        // HELO offers nothing (RFC 5321 section 4.1.4), whatever stands in further lines.
        return Ok(Extensions { observed_ip: Extensions::parse(&second, about.helo).observed_ip, ..Extensions::default() });
    }
    Err(classify(stage, &second, about))
}

/// Asks for TLS (RFC 3207). The step itself is [`Wire::into_tls`].
///
/// # Errors
/// `StartTLSNotOffered`, or what the refusal means.
pub async fn starttls(wire: &mut Wire, extensions: &Extensions, about: &About<'_>) -> Result<(), Diagnosis> {
    if !extensions.starttls {
        return Err(Diagnosis::new(Reason::StartTLSNotOffered)
            .detail("EHLO did not offer STARTTLS")
            .fact("port", about.port.to_string()));
    }
    let reply = wire.command("STARTTLS").await?;
    if reply.code == 220 { Ok(()) } else { Err(classify(Stage::StartTls, &reply, about)) }
}

/// Logs in by one mechanism (RFC 4954).
pub async fn authenticate(wire: &mut Wire, mechanism: Mechanism, login: &Login<'_>, about: &About<'_>) -> Attempt {
    let mut exchange = match Exchange::new(mechanism, login) {
        Ok(exchange) => exchange,
        Err(error) => return Attempt::NotJudged(error.diagnosis()),
    };
    match converse(wire, &mut exchange).await {
        Err(diagnosis) => Attempt::Failed(diagnosis),
        Ok((reply, answered)) => {
            let judgement = LoginJudgement::of(&reply);
            if judgement == LoginJudgement::Accepted {
                return Attempt::Accepted;
            }
            let mut diagnosis = classify(Stage::Auth, &reply, about);
            if let Some(said) = exchange.error_detail() {
                diagnosis = diagnosis.detail(format!("the server said of the token: {}", wire.scrubbed(said)));
            }
            match judgement {
                // Who asked for user and password, and then finds the command odd, has looked at them (promise 7).
                LoginJudgement::NotJudged if answered && matches!(reply.code, 500..504 | 530) => Attempt::Refused(diagnosis),
                LoginJudgement::NotJudged => Attempt::NotJudged(diagnosis),
                LoginJudgement::Unavailable => Attempt::Failed(diagnosis),
                LoginJudgement::TooMany => Attempt::TooMany(diagnosis),
                _ => Attempt::Refused(diagnosis),
            }
        }
    }
}

/// Leads one exchange to its end: the last reply, and whether a challenge was answered before it.
async fn converse(wire: &mut Wire, exchange: &mut Exchange) -> Result<(Reply, bool), Diagnosis> {
    let name = exchange.mechanism().as_str();
    let mut answered = false;
    let mut reply = match exchange.initial() {
        // An empty initial response is written as "=" (RFC 4954 section 4).
        Some(initial) => match sasl::encode(&initial).expose_secret() {
            "" => wire.secret_command(&format!("AUTH {name} =")).await?,
            encoded => wire.secret_command(&format!("AUTH {name} {encoded}")).await?,
        },
        None => wire.command(&format!("AUTH {name}")).await?,
    };
    for _ in 0..ROUNDS {
        if reply.code != 334 {
            return match reply.class() {
                // Who answers so has lost the thread: another mechanism would show the password to it once more.
                ReplyClass::Intermediate => Err(broke("the rules of AUTH (334 is its only 3xx)".to_owned()).words(reply.text())),
                _ => Ok((reply, answered)),
            };
        }
        let challenge = wire.take_challenge().unwrap_or_default();
        reply = match exchange.answer(&challenge) {
            Ok(response) => {
                if let Some(from) = exchange.proof_in(&response) {
                    wire.scrub_proof(response.expose_secret(), from);
                }
                answered = true;
                wire.secret_command(sasl::encode(&response).expose_secret()).await?
            }
            Err(error) => {
                // The exchange is left in order (RFC 4954 section 4); what the server says to it tells nothing.
                let diagnosis = error.diagnosis();
                wire.set_deadline(wire.deadline().min(Instant::now() + COURTESY));
                wire.command("*").await.ok();
                return Err(diagnosis);
            }
        };
    }
    Err(broke(format!("the rules of AUTH (over {ROUNDS} challenges)")))
}

/// Names sender and recipient of one mail (RFC 5321 sections 4.1.1.2 and 4.1.1.3, RFC 3461).
///
/// # Errors
/// `MessageTooLarge` before anything is said, else what the refusal means.
pub async fn mail(
    wire: &mut Wire,
    mail: &Composed,
    extensions: &Extensions,
    envelope_id: &str,
    about: &About<'_>,
) -> Result<(), Diagnosis> {
    let size = mail.raw.len() as u64;
    if let Some(max) = extensions.size.filter(|max| *max < size) {
        return Err(Diagnosis::new(Reason::MessageTooLarge)
            .fact("max", max.to_string())
            .detail(format!("the mail has {size} bytes, and the server takes {max}")));
    }
    if mail.needs_smtputf8 && !extensions.smtputf8 {
        return Err(Diagnosis::new(Reason::SenderRejected)
            .fact("from", mail.envelope_from.as_str())
            .detail("an address has letters outside ASCII, and the server does not offer SMTPUTF8"));
    }
    let mut command = format!("MAIL FROM:<{}>", mail.envelope_from);
    if extensions.size.is_some() || extensions.keywords.iter().any(|keyword| keyword == "SIZE") {
        let _ = write!(command, " SIZE={size}");
    }
    if mail.needs_smtputf8 {
        command.push_str(" SMTPUTF8");
    }
    if extensions.dsn {
        let _ = write!(command, " RET=HDRS ENVID={envelope_id}");
    }
    expect_positive(wire, Stage::Mail, &command, about).await
}

/// Names the recipient. Notices are asked for where somebody reads what comes back to the envelope sender (promise 6).
///
/// # Errors
/// What the refusal means.
pub async fn rcpt(
    wire: &mut Wire,
    mail: &Composed,
    extensions: &Extensions,
    reads_bounces: bool,
    about: &About<'_>,
) -> Result<(), Diagnosis> {
    let notify = match (extensions.dsn, reads_bounces) {
        (true, true) => " NOTIFY=FAILURE,DELAY",
        (true, false) => " NOTIFY=NEVER",
        (false, _) => "",
    };
    expect_positive(wire, Stage::Rcpt, &format!("RCPT TO:<{}>{notify}", mail.envelope_to), about).await
}

async fn expect_positive(wire: &mut Wire, stage: Stage, command: &str, about: &About<'_>) -> Result<(), Diagnosis> {
    let reply = wire.command(command).await?;
    if reply.is_positive() { Ok(()) } else { Err(classify(stage, &reply, about)) }
}

/// Asks to hand over the mail, and waits for the 354.
///
/// # Errors
/// What the refusal means.
pub async fn data(wire: &mut Wire, about: &About<'_>) -> Result<(), Diagnosis> {
    let reply = wire.command("DATA").await?;
    if reply.code == 354 { Ok(()) } else { Err(classify(Stage::Data, &reply, about)) }
}

/// The answer to the final dot: the server's words where it took the mail.
///
/// # Errors
/// `DeliveryUncertain` where no answer came: the mail may have gone. Else what the refusal means.
pub async fn after_the_dot(wire: &mut Wire, about: &About<'_>) -> Result<String, Diagnosis> {
    match wire.reply().await {
        Ok(reply) if reply.is_positive() => Ok(reply.text()),
        Ok(reply) => Err(classify(Stage::Data, &reply, about)),
        Err(lost) => {
            let diagnosis = Diagnosis::new(Reason::DeliveryUncertain);
            let diagnosis = diagnosis
                .detail(format!("no answer to the final dot ({})", lost.detail.as_deref().unwrap_or("it cannot be read")));
            Err(match lost.words {
                Some(words) => diagnosis.words(words),
                None => diagnosis,
            })
        }
    }
}

/// Says goodbye. Nothing that a server answers here matters.
///
/// # Errors
/// None that a check minds.
pub async fn quit(wire: &mut Wire) -> Result<Reply, Diagnosis> {
    wire.command("QUIT").await
}
