//! Whom a mail comes from.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The sender of every mail that goes through a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.address.matches('^[^@\\\\s]+@[^@\\\\s]+$') && size(self.address) <= 254").message("sender.address must be one e-mail address").field_path(".address"))]
pub struct Sender {
    /// The address in From and, unless something else is said, in the envelope (RFC 5321 MAIL FROM).
    #[schemars(length(min = 3, max = 320))]
    pub address: String,
    /// The name that readers see beside the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub display_name: Option<String>,
    /// The address that answers go to, if not the sender's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254), regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub reply_to: Option<String>,
}
