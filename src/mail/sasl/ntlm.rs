//! NTLM version 2 ([MS-NLMP]), as Exchange and Samba's `ntlm_auth` take it. The hashes come from the crate ntlmclient;
//! challenges are read here, since that crate panics on some that a server may send.

use std::time::{SystemTime, UNIX_EPOCH};

use ntlmclient::{Credentials, Flags, Message, NegotiateMessage, OsVersion, respond_challenge_ntlm_v2};
use secrecy::{ExposeSecret, SecretString};

use super::{Login, Response, SaslError, response};
use crate::api::v1alpha1::Mechanism;

/// How the message that proves the password begins ([MS-NLMP] section 2.2.1.3).
pub(super) const AUTHENTICATE: &[u8] = b"NTLMSSP\0\x03\0\0\0";
/// The longest user name or password. Active Directory ends at 256; an NTLM field holds 65,535 bytes of UTF-16.
const CREDENTIAL: usize = 4096;
/// The longest target information. Real ones have about 200 bytes.
const TARGET_INFO: usize = 8192;
/// The id of the server's clock among the target information ([MS-NLMP] section 2.2.2.1, `MsvAvTimestamp`).
const TIMESTAMP: u16 = 7;
/// Seconds from 1601, where Windows' time begins, to 1970.
const WINDOWS_EPOCH: u64 = 11_644_473_600;

pub(super) struct Ntlm {
    domain: String,
    user: String,
    secret: SecretString,
    step: u8,
}

/// What of a CHALLENGE message an answer needs.
#[derive(Debug, PartialEq, Eq)]
struct Challenge<'a> {
    nonce: [u8; 8],
    target_info: &'a [u8],
    /// The server's clock, in tenths of a microsecond since 1601.
    timestamp: Option<i64>,
}

impl Ntlm {
    /// `DOMAIN\user` names the domain; `user@domain` goes as it is with an empty domain, which is how [MS-NLMP] writes a
    /// user principal name.
    pub(super) fn new(login: &Login<'_>) -> Result<Self, SaslError> {
        let unfit = |what| SaslError::Unrepresentable { mechanism: "NTLM", what, character: "more than 4096 bytes" };
        if login.user.len() > CREDENTIAL {
            return Err(unfit("the user name"));
        }
        if login.secret.expose_secret().len() > CREDENTIAL {
            return Err(unfit("the password"));
        }
        let (domain, user) = login.user.split_once('\\').unwrap_or(("", login.user));
        Ok(Self { domain: domain.to_owned(), user: user.to_owned(), secret: login.secret.clone(), step: 0 })
    }

    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Response, SaslError> {
        self.step += 1;
        match self.step {
            1 => negotiate(),
            2 => self.authenticate(challenge),
            _ => Err(fault("the server asks again")),
        }
    }

    fn authenticate(&self, challenge: &[u8]) -> Result<Response, SaslError> {
        let challenge = Challenge::read(challenge).ok_or_else(|| fault("it is no NTLM CHALLENGE message"))?;
        let credentials = Credentials {
            username: self.user.clone(),
            password: self.secret.expose_secret().to_owned(),
            domain: self.domain.clone(),
        };
        // The server's own clock, where it tells it: ours may be wrong, and a domain refuses half an hour's difference.
        let time = challenge.timestamp.unwrap_or_else(now);
        let mut answer = respond_challenge_ntlm_v2(challenge.nonce, challenge.target_info, time, &credentials);
        if challenge.timestamp.is_some() {
            // [MS-NLMP] section 3.1.5.1.2: with a timestamp, no LMv2 response is sent.
            answer.lm_response = vec![0; 24];
        }
        // No key exchange was agreed on, so there is no session key to send.
        answer.session_key = Vec::new();
        let flags = Flags::NEGOTIATE_UNICODE | Flags::NEGOTIATE_NTLM | Flags::NEGOTIATE_NTLM2_KEY | Flags::NEGOTIATE_TARGET_INFO;
        let message = answer.to_message(&credentials, "", flags).to_bytes();
        drop(secrecy::SecretString::from(credentials.password));
        message.map(response).map_err(|_| fault("no answer can be made"))
    }
}

fn negotiate() -> Result<Response, SaslError> {
    let message = Message::Negotiate(NegotiateMessage {
        flags: Flags::NEGOTIATE_UNICODE | Flags::REQUEST_TARGET | Flags::NEGOTIATE_NTLM | Flags::NEGOTIATE_NTLM2_KEY,
        supplied_domain: String::new(),
        supplied_workstation: String::new(),
        os_version: OsVersion::default(),
    });
    message.to_bytes().map(response).map_err(|_| fault("no message can be made"))
}

impl<'a> Challenge<'a> {
    /// Reads a CHALLENGE message ([MS-NLMP] section 2.2.1.2): signature, type 2, target name, flags, nonce, context and,
    /// where they are there, the target information.
    fn read(message: &'a [u8]) -> Option<Self> {
        if message.get(..12)? != b"NTLMSSP\0\x02\0\0\0" {
            return None;
        }
        let nonce = message.get(24..32)?.try_into().ok()?;
        // Windows NT's form ends after the context and has no target information.
        let target_info = match (number(message, 40, 2), number(message, 44, 4)) {
            (Some(length), Some(offset)) if length > 0 => {
                let (length, offset) = (usize::try_from(length).ok()?, usize::try_from(offset).ok()?);
                message.get(offset..offset.checked_add(length)?).filter(|info| info.len() <= TARGET_INFO)?
            }
            _ => &[],
        };
        Some(Self { nonce, target_info, timestamp: timestamp(target_info) })
    }
}

/// The server's clock among pairs of id, length and value.
fn timestamp(mut pairs: &[u8]) -> Option<i64> {
    loop {
        let (id, length) = (number(pairs, 0, 2)?, usize::try_from(number(pairs, 2, 2)?).ok()?);
        let value = pairs.get(4..4 + length)?;
        match u16::try_from(id).ok()? {
            0 => return None,
            TIMESTAMP => return value.try_into().ok().map(i64::from_le_bytes),
            _ => pairs = &pairs[4 + length..],
        }
    }
}

/// A little-endian number of `length` bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + length)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let tenths = since_1970.as_micros().saturating_add(u128::from(WINDOWS_EPOCH) * 1_000_000).saturating_mul(10);
    i64::try_from(tenths).unwrap_or(i64::MAX)
}

fn fault(fault: &'static str) -> SaslError {
    SaslError::Challenge { mechanism: Mechanism::Ntlm.as_str(), fault }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of [MS-NLMP] section 4.2.4.3.
    const EXAMPLE: [u8; 104] = [
        0x4e, 0x54, 0x4c, 0x4d, 0x53, 0x53, 0x50, 0x00, 0x02, 0x00, 0x00, 0x00, 0x0c, 0x00, 0x0c, 0x00, 0x38, 0x00, 0x00, 0x00,
        0x33, 0x82, 0x8a, 0xe2, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x24, 0x00, 0x24, 0x00, 0x44, 0x00, 0x00, 0x00, 0x06, 0x00, 0x70, 0x17, 0x00, 0x00, 0x00, 0x0f, 0x53, 0x00, 0x65, 0x00,
        0x72, 0x00, 0x76, 0x00, 0x65, 0x00, 0x72, 0x00, 0x02, 0x00, 0x0c, 0x00, 0x44, 0x00, 0x6f, 0x00, 0x6d, 0x00, 0x61, 0x00,
        0x69, 0x00, 0x6e, 0x00, 0x01, 0x00, 0x0c, 0x00, 0x53, 0x00, 0x65, 0x00, 0x72, 0x00, 0x76, 0x00, 0x65, 0x00, 0x72, 0x00,
        0x00, 0x00, 0x00, 0x00,
    ];

    fn ntlm(user: &str) -> Ntlm {
        let secret = SecretString::from("Password");
        Ntlm::new(&Login { user, secret: &secret, host: "mx.example", port: 587 }).unwrap()
    }

    #[test]
    fn the_challenge_of_the_specification_is_read() {
        let challenge = Challenge::read(&EXAMPLE).unwrap();
        assert_eq!(challenge.nonce, [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        assert_eq!(challenge.target_info.len(), 36);
        assert_eq!(challenge.timestamp, None);
    }

    #[test]
    fn the_key_is_that_of_the_specification() {
        // [MS-NLMP] section 4.2.4.1.1, NTOWFv2 of User, Password, Domain.
        let credentials =
            Credentials { username: "User".to_owned(), password: "Password".to_owned(), domain: "Domain".to_owned() };
        let key = ntlmclient::ntlm_v2_password_func(&credentials);
        assert_eq!(key, [0x0c, 0x86, 0x8a, 0x40, 0x3b, 0xfd, 0x7a, 0x93, 0xa3, 0x00, 0x1e, 0xf2, 0x2e, 0xf0, 0x2e, 0x3f]);
    }

    #[test]
    fn a_domain_before_a_backslash_is_sent_apart_and_a_principal_name_whole() {
        for (login, domain, user) in
            [("CORP\\ann", "CORP", "ann"), ("ann@corp.example", "", "ann@corp.example"), ("ann", "", "ann")]
        {
            let mut ntlm = ntlm(login);
            assert!(ntlm.respond(b"NTLM supported").unwrap().expose_secret().starts_with(b"NTLMSSP\0\x01\0\0\0"));
            let answer = ntlm.respond(&EXAMPLE).unwrap();
            match Message::try_from(answer.expose_secret()).unwrap() {
                Message::Authenticate(sent) => {
                    assert_eq!((sent.domain_name.as_str(), sent.user_name.as_str()), (domain, user));
                    assert!(sent.ntlm_response.len() > 16 + 28 + 36, "version 2 carries the target information");
                }
                other => panic!("{other:?}"),
            }
            assert!(ntlm.respond(&EXAMPLE).is_err());
        }
    }

    #[test]
    fn the_servers_clock_is_used_where_it_is_told() {
        let mut info = vec![2, 0, 2, 0, b'D', 0, 7, 0, 8, 0];
        info.extend(0x01d9_0000_0000_0000_i64.to_le_bytes());
        info.extend([0; 4]);
        assert_eq!(timestamp(&info), Some(0x01d9_0000_0000_0000));
        assert!(now() > 0x01d9_0000_0000_0000);
    }

    #[test]
    fn a_reserved_flag_and_an_odd_length_do_not_panic() {
        let mut message = EXAMPLE;
        message[20..24].copy_from_slice(&[0xff; 4]);
        assert!(Challenge::read(&message).is_some());
        message[40..44].copy_from_slice(&[0xff; 4]);
        assert_eq!(Challenge::read(&message), None, "target information beyond the end");
        assert!(Challenge::read(&EXAMPLE[..32]).is_some(), "Windows NT's short form");
        assert_eq!(Challenge::read(&EXAMPLE[..31]), None);
    }

    proptest! {
        #[test]
        fn no_challenge_panics(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut message = b"NTLMSSP\0\x02\0\0\0".to_vec();
            message.extend(tail);
            let mut ntlm = ntlm("CORP\\ann");
            let _ = ntlm.respond(&[]);
            let _ = ntlm.respond(&message);
        }
    }
}
