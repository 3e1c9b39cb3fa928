//! Which headers the mailbox's own server wrote: by their authserv-id (RFC 8601 section 5).

use super::header::Header;
use crate::mail::smtp::providers::{self, Provider};

/// The names under which the mailbox's own server may write.
#[derive(Clone, Debug)]
pub struct Own {
    names: Vec<String>,
    providers: Vec<Provider>,
}

/// What a provider calls its receiving servers, where it is not a name beside its IMAP host.
struct Row {
    provider: Provider,
    /// The authserv-id, or the end of it.
    ids: &'static [&'static str],
    /// Whether it leaves the authserv-id out.
    anonymous: bool,
    /// Where it can be seen.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by people, and by a test that none is missing"))]
    source: &'static str,
}

/// Headers as each of the larger providers wrote them, gathered by a mail client's authors.
const SEEN: &str = "https://github.com/deltachat/deltachat-core-rust/tree/feee7aee3d6a1985aa46cfcfccebebfcd8daf41b/test-data/message/dkimchecks-2022-09-28";
const NAMELESS: &str =
    "https://learn.microsoft.com/en-us/answers/questions/4635330/authentication-results-header-written-by-outlook-v";
const ZOHO: &str = "https://help.zoho.com/portal/en/community/topic/authentication-results-header-format-incorrect";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { provider: Provider::Google, ids: &["mx.google.com"], anonymous: false, source: SEEN },
    Row { provider: Provider::Microsoft365, ids: &["mx.microsoft.com"], anonymous: true, source: NAMELESS },
    Row { provider: Provider::Fastmail, ids: &["messagingengine.com"], anonymous: false, source: SEEN },
    Row { provider: Provider::Yahoo, ids: &["yahoo.com"], anonymous: false, source: SEEN },
    Row { provider: Provider::ICloud, ids: &["icloud.com"], anonymous: false, source: SEEN },
    Row { provider: Provider::Zoho, ids: &["mx.zoho.com", "mx.zohomail.com", "mx.zohomail.eu", "mx.zohomail.in"], anonymous: false, source: ZOHO },
];

impl Own {
    /// Of a mailbox whose address is at `domain` and which is read at `hosts`. IP addresses say nothing and are left out.
    #[must_use]
    pub fn new(domain: &str, hosts: &[&str]) -> Self {
        let names = hosts.iter().chain([&domain]).map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let names: Vec<_> = names.filter(|name| !name.is_empty() && name.parse::<std::net::IpAddr>().is_err()).collect();
        let providers = names.iter().filter_map(|name| providers::recognise(name, None)).collect();
        Self { names, providers }
    }

    /// Whether a header is the server's own. One without a name can only be believed where the provider leaves it out, and
    /// on top of all others: below, the sender may have written it.
    pub(super) fn wrote(&self, header: &Header, is_topmost: bool) -> bool {
        let mut rows = ROWS.iter().filter(|row| self.providers.contains(&row.provider));
        header.is_sound
            && match &header.id {
                None => is_topmost && rows.any(|row| row.anonymous),
                Some(id) => {
                    self.names.iter().any(|name| are_kin(id, name))
                        || rows.any(|row| row.ids.iter().any(|known| is_within(id, known)))
                }
            }
    }
}

fn is_within(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether two names belong to one organisation: they are equal, or lie within the same registrable domain.
fn are_kin(one: &str, other: &str) -> bool {
    one == other || registrable(one).is_some_and(|part| is_within(other, part))
}

/// The part of a name that somebody registered: the last two labels, or three below the second levels of registries
/// (`co.uk`, `com.au`). A guess without the list of public suffixes, which is good enough here: the worst that it lets in is
/// a word about the sender that the mailbox's own server did not say.
fn registrable(name: &str) -> Option<&str> {
    const REGISTRIES: [&str; 18] = [
        "ac", "asso", "co", "com", "edu", "go", "gob", "gouv", "gov", "govt", "ltd", "mil", "ne", "net", "nom", "or", "org",
        "plc",
    ];
    let labels: Vec<&str> = name.split('.').collect();
    let count = match labels.as_slice() {
        [.., second, top] if top.len() == 2 && REGISTRIES.contains(second) => 3,
        _ => 2,
    };
    let kept = labels.len().checked_sub(count).and_then(|from| labels.get(from..))?;
    let length = kept.iter().map(|label| label.len() + 1).sum::<usize>() - 1;
    if kept.iter().any(|label| label.is_empty()) { None } else { name.get(name.len() - length..) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_source_and_ids_in_lower_case() {
        for row in ROWS {
            assert!(row.source.starts_with("https://") && !row.ids.is_empty(), "{:?}", row.provider);
            assert!(row.ids.iter().all(|id| id.contains('.') && *id == id.to_ascii_lowercase()), "{:?}", row.provider);
        }
    }

    #[test]
    fn the_registrable_part_of_a_name_is_known() {
        for (name, part) in [
            ("imap.corp.example", Some("corp.example")),
            ("corp.example", Some("corp.example")),
            ("mx1.mail.corp.co.uk", Some("corp.co.uk")),
            ("corp.co.uk", Some("corp.co.uk")),
            ("co.uk", None),
            ("mail", None),
            ("", None),
            (".", None),
            ("a..", None),
            ("mx.gmx.de", Some("gmx.de")),
        ] {
            assert_eq!(registrable(name), part, "{name}");
        }
    }

    #[test]
    fn names_of_one_organisation_are_kin() {
        for (one, other, kin) in [
            ("corp.example", "corp.example", true),
            ("mx1.corp.example", "corp.example", true),
            ("corp.example", "imap.corp.example", true),
            ("mx3.host.test", "imap.host.test", true),
            ("corp.example", "evilcorp.example", false),
            ("evilcorp.example", "corp.example", false),
            ("example", "corp.example", false),
            ("co.uk", "corp.co.uk", false),
            ("other.co.uk", "corp.co.uk", false),
            ("mail", "mail", true),
            ("mail", "mail.corp.example", false),
        ] {
            assert_eq!(are_kin(one, other), kin, "{one} {other}");
        }
    }
}
