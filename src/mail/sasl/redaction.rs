//! Takes credentials out of what servers say: some echo the line that they did not understand, whole or cut.
//!
//! Matched is any run of a form in which the secret was sent, so that an echo that was cut or folded shows nothing either.

use std::{borrow::Cow, fmt};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret, SecretString};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// The most bytes of text that are looked at; what is behind is cut. People see 256 characters of it.
const TEXT: usize = 16 * 1024;

/// The run of characters of a proof that no other text has: it is long, and what is public in it has zeros in rows.
const PROOF: usize = 16;

/// The forms of one credential, in memory that is wiped.
#[derive(Clone, Default)]
pub struct Redaction {
    forms: Vec<Form>,
    begins: Begins,
}

/// Which four bytes a match may begin with, as a bitmap of their hashes: nearly all text is passed over by it, and it is
/// made in a microsecond, which counts in a check that takes one millisecond.
#[derive(Clone, Default)]
struct Begins(Vec<u64>);

impl Begins {
    const BITS: usize = 1 << 14;

    fn slot(four: &[u8]) -> Option<usize> {
        let four: [u8; 4] = four.get(..4)?.try_into().ok()?;
        // Fibonacci hashing: the upper bits of the product are well mixed.
        Some((u32::from_le_bytes(four).wrapping_mul(0x9E37_79B9) >> 18) as usize)
    }

    /// Too few bytes to tell may begin anything, in a form as in a text.
    fn add(&mut self, four: &[u8]) {
        if self.0.is_empty() {
            self.0 = vec![0; Self::BITS / 64];
        }
        match Self::slot(four) {
            Some(slot) => self.0[slot / 64] |= 1 << (slot % 64),
            None => self.0.fill(u64::MAX),
        }
    }

    fn has(&self, text: &[u8]) -> bool {
        Self::slot(text).is_none_or(|slot| self.0.get(slot / 64).is_some_and(|bits| bits & (1 << (slot % 64)) != 0))
    }
}

/// One form, and where in it a match may begin.
#[derive(Clone)]
struct Form {
    /// In ASCII lower case: some servers turn what they echo into upper case.
    text: SecretString,
    /// Where the first window begins.
    first: usize,
    /// How many bytes must agree.
    window: usize,
    /// Only where neither a letter nor a digit stands beside it: a very short secret would otherwise take all text away.
    whole_word: bool,
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction").field("forms", &self.forms.len()).finish_non_exhaustive()
    }
}

impl Redaction {
    /// The forms in which a password or token may come back: as it is, and in base64, alone and in the messages of PLAIN,
    /// XOAUTH2 and OAUTHBEARER, at each of the three places in a group of bytes, in both alphabets.
    #[must_use]
    pub fn of(user: &str, secret: &SecretString) -> Self {
        let secret = secret.expose_secret();
        let mut redaction = Self::default();
        // Short passwords may be words, or parts of words, that servers say: only the whole counts. Tokens are never.
        redaction.add(secret, secret.len().min(16), secret.len() < 4);
        let trimmed = secret.trim();
        if trimmed != secret {
            redaction.add(trimmed, trimmed.len().min(16), trimmed.len() < 4);
        }
        let messages = [
            format!("\0{user}\0{secret}"),
            format!("{user}\0{user}\0{secret}"),
            format!("user={user}\x01auth=Bearer {secret}\x01\x01"),
        ];
        for message in messages {
            let from = message.rfind(secret).unwrap_or_default();
            redaction.add_base64(message.as_bytes(), from);
            drop(SecretString::from(message));
        }
        for before in 0..3 {
            redaction.add_aligned(secret.as_bytes(), before);
        }
        redaction
    }

    /// Adds a proof of the password that was sent, whose telling part begins at byte `from`: whoever knows the challenge can
    /// try passwords against it at leisure. As it is, and in base64.
    pub fn add_proof(&mut self, proof: &[u8], from: usize) {
        if let Ok(text) = str::from_utf8(proof) {
            self.add_from(text, from, text.len().min(PROOF), false);
        }
        let encoded = STANDARD_NO_PAD.encode(proof);
        self.add_from(&encoded, from * 8 / 6, encoded.len().min(PROOF), false);
        drop(SecretString::from(encoded));
    }

    /// Text without the credential. Longer text than 16 KiB is cut there.
    #[must_use]
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = cut(text, TEXT);
        let lower = text.to_ascii_lowercase();
        let mut hidden: Vec<(usize, usize)> = Vec::new();
        for form in &self.forms {
            let places = (0..lower.len()).filter(|at| self.begins.has(&lower.as_bytes()[*at..]));
            hidden.extend(places.filter_map(|at| form.found(lower.as_bytes(), at)).map(|(from, to)| {
                // A window of bytes may begin inside a character.
                (floor(text, from), ceil(text, to))
            }));
        }
        if hidden.is_empty() {
            return Cow::Borrowed(text);
        }
        hidden.sort_unstable();
        let mut out = String::with_capacity(text.len());
        let mut shown = 0;
        let mut open = hidden[0];
        for next in hidden.into_iter().skip(1).chain([(usize::MAX, usize::MAX)]) {
            if next.0 <= open.1 {
                open.1 = open.1.max(next.1);
                continue;
            }
            out.push_str(&text[shown..open.0]);
            out.push_str(REDACTED);
            shown = open.1;
            open = next;
        }
        out.push_str(&text[shown..]);
        Cow::Owned(out)
    }

    fn add(&mut self, text: &str, window: usize, whole_word: bool) {
        self.add_from(text, 0, window, whole_word);
    }

    /// Adds a text whose secret part begins at `from`: what stands before it alone is no secret, and may well be a part of
    /// what a server has to say, such as the user's domain in a challenge of CRAM-MD5.
    fn add_from(&mut self, text: &str, from: usize, window: usize, whole_word: bool) {
        if text.is_empty() {
            return;
        }
        let lower = text.to_ascii_lowercase();
        let bytes = lower.as_bytes();
        let first = (from + 1).saturating_sub(window);
        for place in first..=bytes.len() - window {
            self.begins.add(&bytes[place..place + window]);
        }
        self.forms.push(Form { text: SecretString::from(lower), first, window, whole_word });
    }

    /// A whole message in base64, whose secret begins at byte `from`.
    fn add_base64(&mut self, message: &[u8], from: usize) {
        for encoded in alphabets(message) {
            self.add_from(&encoded, from * 8 / 6, encoded.len().min(8), false);
            drop(SecretString::from(encoded));
        }
    }

    /// The secret in base64 as it looks behind one, two or no bytes of something else: without the characters at the edges
    /// that depend on what stands beside it.
    fn add_aligned(&mut self, secret: &[u8], before: usize) {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(secret);
        for encoded in alphabets(&shifted) {
            let from = (before * 8).div_ceil(6);
            let to = if before == 0 { encoded.len() } else { shifted.len() * 8 / 6 };
            // Four characters of base64 stand for three bytes: fewer could be a part of any word.
            if to >= from + 4 {
                self.add(&encoded[from..to], (to - from).min(8), to - from < 6);
            }
            drop(SecretString::from(encoded));
        }
        drop(SecretString::from(String::from_utf8(shifted).unwrap_or_default()));
    }
}

/// Base64 in both alphabets, once where they agree.
fn alphabets(bytes: &[u8]) -> Vec<String> {
    let mut all = vec![STANDARD_NO_PAD.encode(bytes)];
    if all[0].contains(['+', '/']) {
        all.push(URL_SAFE_NO_PAD.encode(bytes));
    }
    all
}

impl Form {
    /// What of the text at this place is to be hidden.
    fn found(&self, text: &[u8], at: usize) -> Option<(usize, usize)> {
        let end = at + self.window;
        let seen = text.get(at..end)?;
        let form = self.text.expose_secret().as_bytes();
        form[self.first..].windows(self.window).any(|window| window == seen).then_some(())?;
        let beside = |place: Option<&u8>| place.is_some_and(u8::is_ascii_alphanumeric);
        let inside_word = beside(at.checked_sub(1).and_then(|before| text.get(before))) || beside(text.get(end));
        (!(self.whole_word && inside_word)).then_some((at, end))
    }
}

fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most { text } else { &text[..floor(text, most)] }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    fn scrub(user: &str, secret: &str, text: &str) -> String {
        Redaction::of(user, &SecretString::from(secret)).scrub(text).into_owned()
    }

    #[test]
    fn a_password_is_taken_out_in_every_form_in_which_it_was_sent() {
        let (user, secret) = ("relay@example.org", "Tr0ub4dor&3?>~");
        let forms = [
            secret.to_owned(),
            secret.to_uppercase(),
            STANDARD.encode(secret),
            STANDARD.encode(secret).to_uppercase(),
            URL_SAFE.encode(secret),
            STANDARD.encode(format!("\0{user}\0{secret}")),
            STANDARD.encode(format!("{user}\0{user}\0{secret}")),
            STANDARD.encode(format!("user={user}\x01auth=Bearer {secret}\x01\x01")),
            URL_SAFE.encode(format!("\0{user}\0{secret}")),
        ];
        for form in forms {
            let seen = scrub(user, secret, &format!("500 5.5.1 Command unrecognized: \"AUTH PLAIN {form}\" ok"));
            assert!(
                seen.starts_with("500 5.5.1 Command unrecognized: \"AUTH PLAIN ") && seen.contains(REDACTED),
                "{form}: {seen}"
            );
            let tail = form.trim_end_matches('=');
            assert!(seen.ends_with("\" ok") && !seen.contains(&tail[tail.len() - 8..]), "{form}: {seen}");
        }
    }

    #[test]
    fn a_challenge_that_names_the_users_domain_stays_whole() {
        for before in 0..9 {
            let challenge = STANDARD.encode(format!("<{}.17@sandbox.test>", "4".repeat(before)));
            assert_eq!(scrub("demo@sandbox.test", "Tr0ub4dor&3?>~", &challenge), challenge);
        }
    }

    #[test]
    fn base64_behind_anything_else_is_taken_out_at_each_place_in_a_group() {
        let secret = "correct horse battery staple";
        for before in ["", "x", "xy", "xyz", "somebody-else\0"] {
            let encoded = STANDARD.encode(format!("{before}{secret}\u{1}tail"));
            let seen = scrub("ann", secret, &encoded);
            assert!(seen.contains(REDACTED), "{before:?}: {seen}");
            let rest: String = seen.replace(REDACTED, "").chars().collect();
            assert!(rest.len() < encoded.len() - secret.len() * 8 / 6 + 6, "{before:?}: {rest}");
        }
    }

    #[test]
    fn an_echo_that_is_cut_or_folded_shows_nothing_either() {
        let token = format!("ya29.{}", "aBcD3fGh".repeat(60));
        let blob = STANDARD.encode(format!("user=u\x01auth=Bearer {token}\x01\x01"));
        for shown in [&token[..100], &token[40..90], &blob[..203], &blob[50..80]] {
            let seen = scrub("u", &token, &format!("500 unrecognized: {shown}..."));
            assert!(seen.ends_with("[redacted]..."), "{shown}: {seen}");
            assert!(seen.len() < "500 unrecognized: dXNlcj11AWF1dGg9QmVhcmVy[redacted]...".len(), "{shown}: {seen}");
        }
        let folded = format!("500 {} {}", &blob[..76], &blob[76..152]);
        assert!(scrub("u", &token, &folded).ends_with("[redacted] [redacted]"));
    }

    #[test]
    fn very_short_secrets_do_not_take_all_words_away() {
        assert_eq!(scrub("ann", "a", "535 authentication failed"), "535 authentication failed");
        assert_eq!(scrub("ann", "a", "unknown: a"), "unknown: [redacted]");
        assert_eq!(scrub("ann", "ok", "token ok, broken"), "token [redacted], broken");
        assert_eq!(scrub("ann", "", "nothing"), "nothing");
    }

    #[test]
    fn words_that_only_begin_like_a_password_stay() {
        assert_eq!(scrub("ann", "password1", "535 bad password"), "535 bad password");
        assert_eq!(scrub("ann", "password1", "535 bad password1!"), "535 bad [redacted]!");
        assert_eq!(scrub("ann", "trailing\n", "said trailing"), "said [redacted]");
    }

    #[test]
    fn nothing_to_redact_leaves_the_text_as_it_is_but_for_its_length() {
        assert_eq!(Redaction::default().scrub("250 ok"), "250 ok");
        assert_eq!(Redaction::default().scrub(&"é".repeat(TEXT)).len(), TEXT);
    }

    proptest! {
        #[test]
        fn no_secret_of_useful_length_survives(secret in "\\PC{4,40}", before in "\\PC{0,20}", after in "\\PC{0,20}") {
            let seen = scrub("ann", &secret, &format!("{before}{secret}{after}"));
            prop_assert!(!seen.replace(REDACTED, "\0").contains(&secret));
        }
    }
}
