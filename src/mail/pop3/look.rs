//! Looking into a maildrop by TOP (RFC 1939 section 7): headers only, but for reports on deliveries.

use uuid::Uuid;

use super::{Pop3Mailbox, Reply, classify, classify::wordings::says_gone, mailbox::place, reply};
use crate::mail::{
    Diagnosis, Stage,
    bounce::{MOST, announces_report},
    mailbox::{Concerns, Earlier, HEADER, Place, REPORTS, Sighting, recognise},
};

/// The most messages of one look.
const NEWEST: u32 = 500;
/// How many of the newest are looked at where the count did not grow: others may have removed as many as came.
const AROUND: u32 = 50;
/// The lines of a text that are read: as many as [`MOST`] octets hold of an encoded one.
const REPORT: u32 = 800;

impl Pop3Mailbox {
    /// The header of one message, or what was said instead: it may have been removed by other means meanwhile.
    pub(super) async fn top(&mut self, number: u32) -> Result<Result<Vec<u8>, Reply>, Diagnosis> {
        self.start(number, 0, HEADER).await
    }

    /// The header of one message, and so many lines of its text.
    async fn start(&mut self, number: u32, lines: u32, most: usize) -> Result<Result<Vec<u8>, Reply>, Diagnosis> {
        let wire = &mut self.session.wire;
        let reply = reply::command(wire, &format!("TOP {number} {lines}")).await?;
        if !reply.positive {
            // With a code it is about the maildrop, not about this message.
            return if reply.code.is_some() { Err(classify(Stage::Top, &reply, &self.account.about())) } else { Ok(Err(reply)) };
        }
        reply::listing(wire, most).await.map(Ok)
    }

    /// The start of one message, if it is there.
    pub(super) async fn start_of(&mut self, number: u32) -> Result<Result<Vec<u8>, Reply>, Diagnosis> {
        self.start(number, REPORT, MOST).await
    }

    pub(super) async fn search(&mut self, noted: u32, codes: &[Uuid]) -> Result<Vec<Sighting>, Diagnosis> {
        let newest = self.shown.messages;
        let depth = if newest > noted { newest - noted } else { AROUND };
        let (mut sightings, mut reports) = (Vec::new(), std::mem::take(&mut self.reports));
        let mut take = |place: Place, header: &[u8]| match recognise(header, codes, place.clone()) {
            Some(sighting) => sightings.push(sighting),
            None if reports.len() < REPORTS && announces_report(header) => reports.push(place),
            None => {}
        };
        self.pass(depth, &mut take).await?;
        self.reports = reports;
        Ok(sightings)
    }

    /// The mails of interest since so many were there, and the newest few in any case: others may have removed some.
    pub(super) async fn arrived(&mut self, noted: u32, concerns: Concerns<'_>) -> Result<Vec<Place>, Diagnosis> {
        let mut places = Vec::new();
        let depth = self.shown.messages.saturating_sub(noted).max(AROUND);
        self.pass(depth, &mut |place, header| places.extend(concerns(header).then_some(place))).await?;
        places.reverse();
        Ok(places)
    }

    /// Passes so many of the newest, and hands on the place and the header of each.
    async fn pass(&mut self, depth: u32, take: &mut (dyn FnMut(Place, &[u8]) + Send)) -> Result<(), Diagnosis> {
        let (mut refusal, mut seen) = (None, false);
        for number in (1..=self.shown.messages).rev().take(depth.min(NEWEST) as usize) {
            if self.deleted.contains(&number) {
                continue;
            }
            match self.top(number).await? {
                Ok(header) => {
                    seen = true;
                    take(place(number), &header);
                }
                Err(gone) if says_gone(&gone.words) => {}
                Err(refused) => refusal = refusal.or(Some(refused)),
            }
        }
        match refusal {
            Some(refused) if !seen => {
                let diagnosis = classify(Stage::Top, &refused, &self.account.about());
                Err(diagnosis.detail("the server does not show headers by TOP, and a mail is not fetched whole to look at it"))
            }
            _ => Ok(()),
        }
    }

    /// Among the newest: the rest is left to later runs.
    pub(super) async fn search_for_earlier(&mut self, runs: &Earlier<'_>, most: usize) -> Result<Vec<Sighting>, Diagnosis> {
        let newest = self.shown.messages;
        let oldest = newest.saturating_sub(AROUND) + 1;
        let mut sightings = Vec::new();
        for number in (oldest..=newest).filter(|number| !self.deleted.contains(number)).collect::<Vec<_>>() {
            if sightings.len() == most {
                break;
            }
            // Who does not show it keeps it.
            let Ok(header) = self.top(number).await? else { continue };
            sightings.extend(runs.recognise(&header, place(number)));
        }
        Ok(sightings)
    }
}
