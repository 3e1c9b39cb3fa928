//! A mailbox over the Gmail API v1.
//!
//! `service` is what is asked, and how it is answered; `refusal` what Google's errors mean. What it has in common with Microsoft
//! Graph is in `mail::rest`.

mod refusal;
mod service;

pub use refusal::judge;
pub use service::Gmail;

/// Where the API is. Source: <https://developers.google.com/workspace/gmail/api/reference/rest#service-endpoint>
pub const HOST: &str = "gmail.googleapis.com";

/// What it takes to read mail and to put it into the trash. Source: <https://developers.google.com/workspace/gmail/api/auth/scopes>
pub const MODIFY: &str = "https://www.googleapis.com/auth/gmail.modify";

/// What it takes to read mail. The narrower gmail.metadata does not do: it lets nobody ask by time.
pub const READ: &str = "https://www.googleapis.com/auth/gmail.readonly";
