//! Who receives here: domains, with what their owner allows. Pure; a connection asks [`Rules`] as they are at each mail.

use std::{borrow::Cow, collections::HashMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{
    address::{Address, Spelled},
    outcome::Outcome,
};
use crate::mail::{domain::canonical, tls::ServerIdentity};

/// Whether mail comes in by TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// STARTTLS is not offered.
    #[default]
    None,
    /// STARTTLS is offered (RFC 3207), as Postfix's `may`.
    Opportunistic,
    /// No mail comes in without. RFC 3207 section 4 forbids it where the whole world sends mail.
    Required,
}

/// One owner's domains: a `MailReceiver`, or what the command line says.
#[derive(Clone, Debug)]
pub struct Site {
    /// How it is called where people see it.
    pub name: String,
    /// The domains that it receives for, in any case and form.
    pub domains: Vec<String>,
    /// The local part that mail is taken for, with or without `+` and a tag behind it.
    pub notify_local_part: String,
    /// The most octets of a mail.
    pub max_message_bytes: u64,
    /// Who may send; everybody if empty.
    pub allowed_sources: Vec<IpNet>,
    /// Whether by TLS.
    pub tls: TlsMode,
    /// What is shown then. Without one STARTTLS is not offered, and with [`TlsMode::Required`] mail has to wait.
    pub identity: Option<ServerIdentity>,
    /// Mail has to wait: its senders keep it and come again.
    pub is_suspended: bool,
}

impl Site {
    fn admits(&self, source: IpAddr) -> bool {
        self.allowed_sources.is_empty() || self.allowed_sources.iter().any(|net| net.contains(&source))
    }

    fn offers_tls(&self) -> bool {
        self.tls != TlsMode::None && self.identity.is_some()
    }

    /// Who it is, among those who have mail here. Nobody else is known (RFC 5321 section 4.5.1: postmaster is).
    fn role(&self, local: &str) -> Option<Role> {
        if local.eq_ignore_ascii_case("postmaster") {
            return Some(Role::Postmaster);
        }
        let (name, tag) = match local.split_once('+') {
            Some((name, tag)) => (name, Some(tag)),
            None => (local, None),
        };
        name.eq_ignore_ascii_case(&self.notify_local_part).then(|| Role::Notify { tag: tag.map(str::to_owned) })
    }
}

/// Whom a mail is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The notify address.
    Notify {
        /// What stands behind its `+`: the id of a probe.
        tag: Option<String>,
    },
    /// Whoever cares for the domain.
    Postmaster,
}

/// A recipient that was accepted.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The address, its domain in its canonical form.
    pub address: Address,
    /// Whom that is.
    pub role: Role,
    /// Whose domain it is.
    pub site: Arc<Site>,
}

/// A reply and what it is counted as.
pub(super) type Refusal = (&'static str, Option<Outcome>);

/// All sites that share a listener, as they are at one moment.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The name of this server, as it greets.
    pub hostname: String,
    sites: Vec<Arc<Site>>,
    domains: HashMap<String, usize>,
    most: u64,
    /// What EHLO is answered with, without and with TLS: the same for all, so written once.
    ehlo: [Vec<u8>; 2],
}

impl Rules {
    /// Of two sites with one domain the first has it.
    #[must_use]
    pub fn new(hostname: &str, sites: Vec<Site>) -> Self {
        let sites: Vec<Arc<Site>> = sites.into_iter().map(Arc::new).collect();
        let mut domains = HashMap::new();
        for (at, site) in sites.iter().enumerate() {
            for domain in &site.domains {
                domains.entry(canonical(domain).into_owned()).or_insert(at);
            }
        }
        let most = sites.iter().map(|site| site.max_message_bytes).max().unwrap_or(0);
        let offers_tls = sites.iter().any(|site| site.offers_tls());
        let ehlo = [offers_tls, false].map(|offers_tls| ehlo(hostname, most, offers_tls));
        Self { hostname: hostname.to_owned(), sites, domains, most, ehlo }
    }

    /// The sites.
    #[must_use]
    pub fn sites(&self) -> &[Arc<Site>] {
        &self.sites
    }

    pub(super) fn ehlo(&self, secure: bool) -> &[u8] {
        &self.ehlo[usize::from(secure)]
    }

    /// The most octets that any site takes.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// Whether no site takes so many octets. Where none is known yet nothing is known of sizes either: such mail has to wait.
    pub(super) fn is_too_large(&self, size: u64) -> bool {
        !self.sites.is_empty() && size > self.most
    }

    /// Whether there is any site that this client may send to.
    pub(super) fn admits(&self, source: IpAddr) -> bool {
        self.sites.is_empty() || self.sites.iter().any(|site| site.admits(source))
    }

    /// Whether STARTTLS is offered.
    pub(super) fn offers_tls(&self) -> bool {
        self.sites.iter().any(|site| site.offers_tls())
    }

    /// Whether nothing comes in without TLS.
    pub(super) fn requires_tls(&self) -> bool {
        !self.sites.is_empty() && self.sites.iter().all(|site| site.tls == TlsMode::Required)
    }

    /// What to show a client that asks for this name (SNI, RFC 6066 section 3): the one that has it, else the first.
    pub(super) fn identity(&self, name: Option<&str>) -> Option<&ServerIdentity> {
        let mut offered = self.sites.iter().filter(|site| site.offers_tls()).filter_map(|site| site.identity.as_ref());
        let first = offered.next()?;
        let fits = |identity: &&ServerIdentity| name.is_some_and(|name| identity.is_for(name));
        Some(std::iter::once(first).chain(offered).find(fits).unwrap_or(first))
    }

    /// Whether a recipient is one of ours. A relay this is never: what is in no domain of a site is refused.
    pub(super) fn judge(&self, to: &Spelled<'_>, source: IpAddr, secure: bool) -> Result<Recipient, Refusal> {
        let domain = canonical(to.domain);
        let site = if domain.is_empty() {
            // RFC 5321 section 4.1.1.3: postmaster without a domain is that of the server itself.
            self.sites.iter().find(|site| site.admits(source))
        } else {
            self.domains.get(domain.as_ref()).and_then(|at| self.sites.get(*at))
        };
        if self.sites.is_empty() {
            return Err(("451 4.3.2 This server knows no domains yet, try again later", None));
        }
        let Some(site) = site else {
            return Err(("550 5.7.1 Relay access denied: this server has no such domain", Some(Outcome::RelayDenied)));
        };
        if !site.admits(source) {
            return Err(("550 5.7.1 Your address may not send to this domain", Some(Outcome::SourceDenied)));
        }
        if site.tls == TlsMode::Required && !secure {
            return Err((no_tls(site.offers_tls()), None));
        }
        let Some(role) = site.role(&to.local) else {
            return Err(("550 5.1.1 No such recipient here", Some(Outcome::UnknownRecipient)));
        };
        if site.is_suspended {
            return Err(("451 4.3.2 This domain is suspended, try again later", None));
        }
        let domain =
            if domain.is_empty() { site.domains.first().map_or(Cow::default(), |domain| canonical(domain)) } else { domain };
        Ok(Recipient {
            address: Address { local: to.local.clone().into_owned(), domain: domain.into_owned() },
            role,
            site: Arc::clone(site),
        })
    }
}

/// The reply to who has to use TLS and does not: where there is none to be had mail has to wait.
pub(super) fn no_tls(is_offered: bool) -> &'static str {
    if is_offered {
        "530 5.7.0 Must issue a STARTTLS command first"
    } else {
        "454 4.7.0 TLS is required, and not available now, try again later"
    }
}

/// RFC 5321 section 4.1.1.1, with the extensions of RFC 1870, 2034, 2920, 3030, 3207, 6152 and 6531.
fn ehlo(hostname: &str, most: u64, offers_tls: bool) -> Vec<u8> {
    let tls = if offers_tls { "250-STARTTLS\r\n" } else { "" };
    format!("250-{hostname}\r\n250-PIPELINING\r\n250-SIZE {most}\r\n{tls}250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::address::path;

    pub(crate) fn site(domain: &str) -> Site {
        Site {
            name: domain.to_owned(),
            domains: vec![domain.to_owned()],
            notify_local_part: "notify".to_owned(),
            max_message_bytes: 1000,
            allowed_sources: Vec::new(),
            tls: TlsMode::None,
            identity: None,
            is_suspended: false,
        }
    }

    fn judge(rules: &Rules, to: &str, secure: bool) -> Result<(String, Role), &'static str> {
        let spelled = path(to).unwrap().0.unwrap();
        let judged = rules.judge(&spelled, "192.0.2.1".parse().unwrap(), secure);
        judged.map(|recipient| (recipient.address.to_string(), recipient.role)).map_err(|(reply, _)| &reply[..9])
    }

    #[test]
    fn only_notify_and_postmaster_of_our_domains_are_taken() {
        let rules = Rules::new("mx.test", vec![site("Example.ORG"), site("bücher.example")]);
        let tag = |tag: &str| Role::Notify { tag: Some(tag.to_owned()) };
        for (to, address, role) in [
            ("<notify@example.org>", "notify@example.org", Role::Notify { tag: None }),
            ("<NOTIFY+a+b@EXAMPLE.org>", "NOTIFY+a+b@example.org", tag("a+b")),
            ("<\"notify+x\"@xn--bcher-kva.example>", "notify+x@xn--bcher-kva.example", tag("x")),
            ("<@relay.test:notify@bücher.example>", "notify@xn--bcher-kva.example", Role::Notify { tag: None }),
            ("<PostMaster@example.org>", "PostMaster@example.org", Role::Postmaster),
            ("<postmaster>", "postmaster@example.org", Role::Postmaster),
        ] {
            assert_eq!(judge(&rules, to, false), Ok((address.to_owned(), role)), "{to}");
        }
        for (to, reply) in [
            ("<notify@example.com>", "550 5.7.1"),
            ("<notify@sub.example.org>", "550 5.7.1"),
            ("<notify@[192.0.2.1]>", "550 5.7.1"),
            ("<notify%example.org@elsewhere.test>", "550 5.7.1"),
            ("<postmaster@example.com>", "550 5.7.1"),
            ("<notifyx@example.org>", "550 5.1.1"),
            ("<elsewhere.test!notify@example.org>", "550 5.1.1"),
            ("<\"notify@elsewhere.test\"@example.org>", "550 5.1.1"),
            ("<ops@example.org>", "550 5.1.1"),
        ] {
            assert_eq!(judge(&rules, to, false), Err(reply), "{to}");
        }
    }

    #[test]
    fn a_site_takes_mail_only_from_whom_and_how_it_allows() {
        let far = Site { allowed_sources: vec!["198.51.100.0/24".parse().unwrap()], ..site("far.test") };
        let safe = Site { tls: TlsMode::Required, ..site("safe.test") };
        let rules = Rules::new("mx.test", vec![far.clone(), safe.clone(), site("open.test")]);
        assert_eq!(judge(&rules, "<notify@far.test>", true), Err("550 5.7.1"));
        assert_eq!(judge(&rules, "<notify@safe.test>", false), Err("454 4.7.0"));
        assert!(judge(&rules, "<notify@safe.test>", true).is_ok() && judge(&rules, "<notify@open.test>", false).is_ok());
        assert!(rules.admits("203.0.113.1".parse().unwrap()) && !rules.requires_tls());
        assert!(!Rules::new("mx.test", vec![far]).admits("203.0.113.1".parse().unwrap()));
        assert!(Rules::new("mx.test", vec![safe]).requires_tls());
        let none = Rules::new("mx.test", Vec::new());
        assert!(!none.requires_tls());
        assert_eq!(judge(&none, "<notify@example.org>", false), Err("451 4.3.2"));
        let rules = Rules::new("mx.test", vec![Site { is_suspended: true, ..site("example.org") }]);
        assert_eq!(judge(&rules, "<notify@example.org>", false), Err("451 4.3.2"));
    }

    #[test]
    fn of_two_sites_with_one_domain_the_first_has_it() {
        let other = Site { notify_local_part: "other".to_owned(), ..site("EXAMPLE.org") };
        let rules = Rules::new("mx.test", vec![site("example.org"), other]);
        assert!(judge(&rules, "<notify@example.org>", false).is_ok());
        assert_eq!(judge(&rules, "<other@example.org>", false), Err("550 5.1.1"));
    }
}
