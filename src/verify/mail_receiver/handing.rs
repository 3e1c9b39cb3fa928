//! How a certificate goes from its owner's namespace to the receivers: as a Secret of the operator's making in theirs.

/// The label by which the operator knows what it made.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// That label's value.
pub const OPERATOR: &str = "mailverity";
/// The value of that label where a receiver made something.
pub const RECEIVER_APP: &str = "mailverity-receiver";
/// The label that says what the Secret is: the UID of its `MailReceiver`.
pub const RECEIVER: &str = "mailverity.dev/mail-receiver";
/// The annotation with that object's name, as namespace/name.
pub const RECEIVER_NAME: &str = "mailverity.dev/mail-receiver-name";
/// The label with the name of the installation.
pub const INSTALLATION: &str = "mailverity.dev/installation";

/// The label selector of all that is handed over.
#[must_use]
pub fn selector() -> String {
    format!("{MANAGED_BY}={OPERATOR},{RECEIVER}")
}

/// The name of the Secret for the `MailReceiver` with this UID.
#[must_use]
pub fn secret_name(uid: &str) -> String {
    format!("mailverity-tls-{uid}")
}
