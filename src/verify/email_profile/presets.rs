//! The servers of well-known providers: what `spec.provider` fills in.

use crate::api::v1alpha1::{MailProvider, MailboxProtocol, Security};

/// A server of a provider: name, port, security.
pub type Preset = (&'static str, u16, Security);

/// Where a provider's mailboxes are read, of Microsoft in the cloud `Public`; none where it does not offer the protocol.
///
/// Sources: support.microsoft.com "POP, IMAP, and SMTP settings for Outlook.com" and
/// learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/pop3-and-imap4; support.google.com/mail/answer/7126229
/// and /7104828; support.apple.com/102525; help.yahoo.com SLN4075 and SLN4724; fastmail.help "Server names and ports";
/// zoho.com/mail/help/imap-access.html and /pop-access.html.
///
/// Of Microsoft's other clouds none is filled in: of cloud `USGov` are two with servers of their own (outlook.office365.us,
/// outlook-dod.office365.us), and of cloud `China` only the domain is told (*.partner.outlook.cn). Source:
/// learn.microsoft.com/microsoft-365/enterprise/microsoft-365-u-s-government-gcc-high-endpoints, -dod-endpoints, and
/// urls-and-ip-address-ranges-21vianet there.
#[must_use]
pub fn incoming(provider: MailProvider, protocol: MailboxProtocol) -> Option<Preset> {
    let host = match (protocol, provider) {
        (MailboxProtocol::IMAP | MailboxProtocol::POP3, MailProvider::Microsoft365) => "outlook.office365.com",
        (MailboxProtocol::IMAP, MailProvider::Google) => "imap.gmail.com",
        (MailboxProtocol::IMAP, MailProvider::ICloud) => "imap.mail.me.com",
        (MailboxProtocol::IMAP, MailProvider::Yahoo) => "imap.mail.yahoo.com",
        (MailboxProtocol::IMAP, MailProvider::Fastmail) => "imap.fastmail.com",
        (MailboxProtocol::IMAP, MailProvider::Zoho) => "imap.zoho.com",
        (MailboxProtocol::POP3, MailProvider::Google) => "pop.gmail.com",
        (MailboxProtocol::POP3, MailProvider::Yahoo) => "pop.mail.yahoo.com",
        (MailboxProtocol::POP3, MailProvider::Fastmail) => "pop.fastmail.com",
        (MailboxProtocol::POP3, MailProvider::Zoho) => "pop.zoho.com",
        _ => return None,
    };
    Some((host, if protocol == MailboxProtocol::IMAP { 993 } else { 995 }, Security::TLS))
}

/// Where a provider takes mail from its accounts; the same sources.
#[must_use]
pub fn outgoing(provider: MailProvider) -> Preset {
    match provider {
        MailProvider::Microsoft365 => ("smtp.office365.com", 587, Security::StartTLS),
        MailProvider::Google => ("smtp.gmail.com", 465, Security::TLS),
        MailProvider::ICloud => ("smtp.mail.me.com", 587, Security::StartTLS),
        MailProvider::Yahoo => ("smtp.mail.yahoo.com", 465, Security::TLS),
        MailProvider::Fastmail => ("smtp.fastmail.com", 465, Security::TLS),
        MailProvider::Zoho => ("smtp.zoho.com", 465, Security::TLS),
    }
}
