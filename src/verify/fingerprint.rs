//! Keyed hashes of secrets and inputs: equal only for equal content, and of no use to whoever reads them in a status.

use std::fmt::Write as _;

use ring::hmac;
use uuid::Uuid;

/// The installation's key for hashes and codes.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key([redacted])")
    }
}

impl Key {
    /// A key from bytes: 32 of good randomness.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A key for this process alone: for a check at a shell, where nothing is kept.
    #[must_use]
    pub fn random() -> Self {
        Self::new(&[Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat())
    }

    /// The hash of these parts, 32 hexadecimal digits. Each part's length counts: ("ab", "c") is not ("a", "bc").
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> String {
        self.sign(parts).as_ref()[..16].iter().fold(String::with_capacity(32), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// The code of a mail: the same for the same parts, and to be guessed by nobody (`UUIDv8`, RFC 9562 section 5.8).
    #[must_use]
    pub fn code(&self, parts: &[&[u8]]) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.sign(parts).as_ref()[..16]);
        Uuid::new_v8(bytes)
    }

    fn sign(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_the_key_and_on_where_parts_end() {
        let (one, two) = (Key::new(b"one"), Key::new(b"two"));
        assert_eq!(one.hash(&[b"ab", b"c"]), one.hash(&[b"ab", b"c"]));
        assert_ne!(one.hash(&[b"ab", b"c"]), one.hash(&[b"a", b"bc"]));
        assert_ne!(one.hash(&[b"ab"]), two.hash(&[b"ab"]));
        assert_eq!(one.hash(&[]).len(), 32);
    }

    #[test]
    fn a_code_is_a_uuid_of_version_8() {
        assert_eq!(Key::new(b"k").code(&[b"run"]).get_version_num(), 8);
    }
}
