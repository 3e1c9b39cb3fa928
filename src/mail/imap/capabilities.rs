//! What a server can do (RFC 9051 section 7.2.2).

/// The most names that are kept; real servers have about 50.
pub(super) const MOST: usize = 128;

/// The capabilities of a server, as it named them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    names: Vec<String>,
}

impl Capabilities {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    /// Out of a response code: `CAPABILITY IMAP4rev1 IDLE`.
    pub(super) fn in_code(argument: &str) -> Self {
        Self::new(argument.split_whitespace().take(MOST).map(str::to_owned).collect())
    }

    /// All of them.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The mechanisms of AUTHENTICATE, and LOGIN where the command of that name is allowed, in the server's order.
    #[must_use]
    pub fn mechanisms(&self) -> Vec<String> {
        let offered = self.names.iter().filter_map(|name| {
            let (head, mechanism) = name.split_at_checked("AUTH=".len())?;
            head.eq_ignore_ascii_case("AUTH=").then(|| mechanism.to_ascii_uppercase())
        });
        let mut offered: Vec<_> = offered.collect();
        if self.allows_login_command() && !offered.iter().any(|mechanism| mechanism == "LOGIN") {
            offered.push("LOGIN".to_owned());
        }
        offered
    }

    /// Whether the command LOGIN is allowed (RFC 9051 section 6.2.3).
    #[must_use]
    pub fn allows_login_command(&self) -> bool {
        !self.has("LOGINDISABLED")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_command_counts_as_the_mechanism_unless_it_is_disabled() {
        for (names, mechanisms) in [
            ("IMAP4rev1 AUTH=PLAIN auth=cram-md5", "PLAIN CRAM-MD5 LOGIN"),
            ("IMAP4rev1 AUTH=LOGIN", "LOGIN"),
            ("IMAP4rev1", "LOGIN"),
            ("IMAP4rev1 LOGINDISABLED", ""),
            ("IMAP4rev1 LOGINDISABLED AUTH=XOAUTH2", "XOAUTH2"),
        ] {
            assert_eq!(Capabilities::in_code(names).mechanisms().join(" "), mechanisms, "{names}");
        }
    }
}
