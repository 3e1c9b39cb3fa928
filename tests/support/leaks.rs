//! No secret may be seen (promise 14): the marks that every password of the tests carries, and a search for them.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// What every password of a test holds, so that one search finds them all.
pub const MARK: &str = "Kennwort";

/// A password of a test's own.
pub fn password(name: &str) -> String {
    format!("{MARK}-{name}-7")
}

/// As every JSON Web Token begins: access tokens of the tests' provider, those of service accounts, assertions.
const TOKEN: &str = "eyJhbGciOi";

/// All that must not be seen: tokens, the mark and the mail stack's passwords, as they are and in base64 at each alignment.
fn forms() -> Vec<String> {
    let mut forms = vec![TOKEN.to_lowercase()];
    for word in [MARK, "alice-secret", "probe-secret", "inbound-secret", "boss-secret", "held-secret"] {
        forms.push(word.to_lowercase());
        for before in 0..3 {
            let padded = [vec![b'x'; before], word.as_bytes().to_vec()].concat();
            for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
                // The first and last characters depend on what stands beside the secret.
                let from = (before * 4).div_ceil(3);
                let whole = padded.len() / 3 * 4;
                forms.push(encoded[from..whole].to_lowercase());
            }
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

/// Fails where `text` shows a secret.
pub fn none_in(what: &str, text: &str) {
    let lower = text.to_lowercase();
    for form in forms() {
        if let Some(at) = lower.find(&form) {
            let from = lower[..at].char_indices().rev().take(80).last().map_or(0, |(at, _)| at);
            panic!("{what} shows a secret ({form}): …{}…", lower[from..].chars().take(200).collect::<String>());
        }
    }
}
