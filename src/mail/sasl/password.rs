//! PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login) and CRAM-MD5 (RFC 2195).
//!
//! Text goes as the UTF-8 that the Secret holds, without `SASLprep`: servers that compare with what users typed elsewhere
//! see the same bytes.

use hmac::{Hmac, Mac};
use md5::Md5;
use secrecy::{ExposeSecret, SecretString};

use super::{Login, Response, SaslError, response, without};
use crate::api::v1alpha1::Mechanism;

/// The hexadecimal digits of an MD5 digest.
pub(super) const DIGEST: usize = 32;

pub(super) struct Plain {
    user: String,
    secret: SecretString,
}

impl Plain {
    pub(super) fn new(login: &Login<'_>) -> Result<Self, SaslError> {
        let nul = [('\0', "a NUL")];
        without(Mechanism::Plain, "the user name", login.user, &nul)?;
        without(Mechanism::Plain, "the password", login.secret.expose_secret(), &nul)?;
        Ok(Self { user: login.user.to_owned(), secret: login.secret.clone() })
    }

    /// No authorization identity, the user, the password, with NULs between them.
    pub(super) fn message(&self) -> Response {
        let secret = self.secret.expose_secret();
        // With the whole capacity at once: a vector that grows leaves copies of the password behind.
        let mut message = Vec::with_capacity(self.user.len() + secret.len() + 2);
        message.push(0);
        message.extend_from_slice(self.user.as_bytes());
        message.push(0);
        message.extend_from_slice(secret.as_bytes());
        response(message)
    }
}

/// LOGIN answers by step: the prompts are `Username:` and `Password:` in the draft, and anything at all in the world.
pub(super) struct LoginSteps {
    user: String,
    secret: SecretString,
    step: u8,
}

impl LoginSteps {
    pub(super) fn new(login: &Login<'_>) -> Self {
        Self { user: login.user.to_owned(), secret: login.secret.clone(), step: 0 }
    }

    pub(super) fn respond(&mut self) -> Option<Response> {
        self.step += 1;
        match self.step {
            1 => Some(response(self.user.clone().into_bytes())),
            2 => Some(response(self.secret.expose_secret().as_bytes().to_vec())),
            _ => None,
        }
    }
}

pub(super) struct CramMd5 {
    user: String,
    secret: SecretString,
    answered: bool,
}

impl CramMd5 {
    pub(super) fn new(login: &Login<'_>) -> Result<Self, SaslError> {
        without(Mechanism::CramMd5, "the user name", login.user, &[('\0', "a NUL")])?;
        Ok(Self { user: login.user.to_owned(), secret: login.secret.clone(), answered: false })
    }

    /// The user, a space, and the HMAC-MD5 of the challenge in lower-case hexadecimal digits.
    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Response, SaslError> {
        let fault = |fault| SaslError::Challenge { mechanism: Mechanism::CramMd5.as_str(), fault };
        if std::mem::replace(&mut self.answered, true) {
            return Err(fault("the server asks again"));
        }
        // An empty challenge would make an answer that is good for ever.
        if challenge.is_empty() {
            return Err(fault("it is empty"));
        }
        let mut mac =
            Hmac::<Md5>::new_from_slice(self.secret.expose_secret().as_bytes()).map_err(|_| fault("no key can be made"))?;
        mac.update(challenge);
        let mut answer = self.user.clone().into_bytes();
        answer.push(b' ');
        for byte in mac.finalize().into_bytes() {
            answer.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
        Ok(response(answer))
    }
}
