//! The stages MAIL, RCPT and DATA: one mail, asked for at the gate, and known as sent from its final dot on (promise 1).

use super::{Attempt, Known};
use crate::{
    api::Reason,
    mail::{
        Diagnosis, Stage, Stages,
        diagnosis::printable,
        message::{Composed, TestMail, compose, compose_probe, dot_stuffed},
        smtp::session,
        wire::Wire,
    },
    verify::{Report, report::Delivery},
};

/// The mail is written in parts of this size, so that a lost lease is noticed between them.
const PART: usize = 16 * 1024;

impl Attempt<'_> {
    pub(super) async fn deliver(
        &self,
        stages: &mut Stages,
        report: &mut Report,
        wire: &mut Wire,
        known: &Known,
    ) -> Result<(), Diagnosis> {
        let about = self.about(known);
        let mail = stages
            .run(Stage::Mail, async {
                let mail = self.compose()?;
                self.gate.send(&mail.envelope_to).await?;
                report.delivery = Some(Delivery { message_id: mail.message_id.clone(), dot_sent: false, accepted: None });
                session::mail(wire, &mail, &known.extensions, &self.run.message.to_string(), &about).await?;
                Ok(mail)
            })
            .await?;
        stages.run(Stage::Rcpt, session::rcpt(wire, &mail, &known.extensions, self.run.reads_bounces, &about)).await?;
        let delivery = &mut report.delivery;
        let reply = stages
            .run(Stage::Data, async {
                self.gate.still()?;
                session::data(wire, &about).await?;
                let stuffed = dot_stuffed(&mail.raw);
                let (body, dot) = stuffed.split_at(stuffed.len().saturating_sub(b".\r\n".len()));
                wire.has_answered_no_more()?;
                for part in body.chunks(PART) {
                    self.gate.still()?;
                    wire.write(part).await?;
                }
                self.gate.still()?;
                if let Some(delivery) = delivery.as_mut() {
                    delivery.dot_sent = true;
                }
                wire.write(dot).await.map_err(|lost| {
                    Diagnosis::new(Reason::DeliveryUncertain)
                        .detail(format!("lost while the final dot was written ({})", lost.said()))
                })?;
                session::after_the_dot(wire, &about).await
            })
            .await?;
        stages.note(reply.as_str());
        if let Some(delivery) = delivery.as_mut() {
            delivery.accepted = Some(printable(&reply, 256));
        }
        Ok(())
    }

    fn compose(&self) -> Result<Composed, Diagnosis> {
        if let Some(probe) = &self.run.probe {
            return compose_probe(probe);
        }
        let lacks = |field: &str| {
            let fault = format!("level Deliver needs {field}");
            Diagnosis::new(Reason::SpecInvalid).detail(fault.as_str()).fact("fault", fault)
        };
        let sender = self.inputs.sender.as_ref().ok_or_else(|| lacks("sender.address"))?;
        let test = self.inputs.test.as_ref().ok_or_else(|| lacks("test.to"))?;
        compose(&TestMail {
            from: &sender.address,
            display_name: sender.display_name.as_deref(),
            reply_to: sender.reply_to.as_deref(),
            to: &test.to,
            subject: test.subject.as_deref(),
            code: self.run.code,
            message: self.run.message,
            date: self.run.now,
            installation: self.run.installation,
            uid: &self.inputs.uid,
            run: self.run.id,
            object: &self.inputs.object,
            contact: self.run.contact,
        })
    }
}
