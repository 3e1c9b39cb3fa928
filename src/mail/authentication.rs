//! What the mailbox's own server wrote of the sender: SPF, DKIM and DMARC, from the headers `Authentication-Results` (RFC 8601).
//!
//! Anyone can write such a header into a mail. Only those that name the mailbox's own server count ([`Own`]), and of these
//! the topmost that speaks of a method: servers put theirs above everything that came with the mail. Pure: text in, text out.

mod header;
mod own;
#[cfg(test)]
mod tests;

pub use crate::api::v1alpha1::AuthenticationResults as Results;
pub use own::Own;

use header::{Header, Method};

/// As many headers are looked at; a mail has a handful.
const MOST_HEADERS: usize = 32;

/// Reads the values of a mail's headers `Authentication-Results`, the topmost first: of each method what the server wrote, in
/// lower case (`pass`, `fail`, `none` ...; RFC 8601 section 2.7) and 16 characters at most; nothing where it did not speak of
/// it.
#[must_use]
pub fn read<'a>(headers: impl IntoIterator<Item = &'a str>, own: &Own) -> Results {
    let mut results = Results::default();
    for (index, value) in headers.into_iter().take(MOST_HEADERS).enumerate() {
        let header = Header::parse(value);
        if !own.wrote(&header, index == 0) {
            continue;
        }
        for (found, method) in
            [(&mut results.spf, Method::Spf), (&mut results.dkim, Method::Dkim), (&mut results.dmarc, Method::Dmarc)]
        {
            if found.is_none() {
                *found = header.result(method);
            }
        }
    }
    results
}

/// Whether the receiving server holds the sender's address for genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// It does.
    Aligned,
    /// It does not, for want of these.
    NotAligned(Vec<Lack>),
    /// It said nothing, or could not tell.
    Unknown,
}

/// What a sender's domain lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// A record that names the sending server.
    Spf,
    /// A signature that holds.
    Dkim,
    /// A policy.
    Dmarc,
    /// SPF or DKIM pass, but for another domain than the one in From.
    SameDomain,
}

/// Weighs what was found. DMARC decides where it was judged; without it, SPF or DKIM is enough.
#[must_use]
pub fn aligned(results: &Results) -> Alignment {
    let verdict = |found: &Option<String>| found.as_deref().map(Verdict::of);
    let (spf, dkim) = (verdict(&results.spf), verdict(&results.dkim));
    let passes = [spf, dkim].contains(&Some(Verdict::Pass));
    match results.dmarc.as_deref() {
        Some("pass") => return Alignment::Aligned,
        Some("fail") if passes => return Alignment::NotAligned(vec![Lack::SameDomain]),
        Some("fail") => {}
        // No policy, or one that could not be read: DMARC has not judged.
        _ if passes => return Alignment::Aligned,
        // A server that could not look one of them up has not judged either.
        _ if [spf, dkim].contains(&Some(Verdict::Open)) || (spf, dkim) == (None, None) => return Alignment::Unknown,
        _ => {}
    }
    let mut lacks = Vec::new();
    for (verdict, lack) in [(spf, Lack::Spf), (dkim, Lack::Dkim)] {
        if verdict != Some(Verdict::Open) {
            lacks.push(lack);
        }
    }
    if results.dmarc.as_deref() == Some("none") {
        lacks.push(Lack::Dmarc);
    }
    // DMARC failed while both could not be looked up: what it failed for is not known, and both would do.
    if lacks.is_empty() {
        lacks.extend([Lack::Spf, Lack::Dkim]);
    }
    Alignment::NotAligned(lacks)
}

/// A result, for the question whether it speaks for the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Fail,
    /// Not judged: the look-up failed for now, or the word is none of RFC 8601's.
    Open,
}

impl Verdict {
    fn of(word: &str) -> Self {
        match word {
            "pass" => Self::Pass,
            // `hardfail` is the word of RFC 5451, which some servers still write; permerror is a record that cannot be read.
            "fail" | "softfail" | "hardfail" | "neutral" | "none" | "policy" | "permerror" => Self::Fail,
            _ => Self::Open,
        }
    }
}

/// What to publish for `domain`, as DNS records where it is one, with `; ` between them.
#[must_use]
pub fn record(lacks: &[Lack], domain: &str) -> String {
    let domain = domain.trim_end_matches('.');
    let one = |lack: &Lack| match lack {
        Lack::Spf => format!("{domain}. TXT \"v=spf1 include:... -all\", with the sending server's name or addresses in it"),
        Lack::Dkim => format!(
            "SELECTOR._domainkey.{domain}. TXT \"v=DKIM1; p=...\", the public key that the sending server signs with, under its selector"
        ),
        Lack::Dmarc => format!("_dmarc.{domain}. TXT \"v=DMARC1; p=none\""),
        Lack::SameDomain => {
            format!(
                "a DKIM key of {domain} itself, and have the sending server sign with it (d={domain}), or use an envelope sender at {domain}"
            )
        }
    };
    lacks.iter().map(one).collect::<Vec<_>>().join("; ")
}
