//! What one client, and all of them, may take of us. Everything has a bound, so that nobody can keep mail from others.

use std::time::Duration;

/// The bounds of a receiver. The defaults suit a receiver with 64 MiB of memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections in all. One more, and the one that has been silent longest is told to come back later.
    pub connections: usize,
    /// Connections of one address; of one /64 network with IPv6, which is what a customer gets.
    pub connections_per_source: usize,
    /// Commands of one connection.
    pub commands: u32,
    /// Refused commands of one connection.
    pub refusals: u32,
    /// Recipients of one mail; RFC 5321 section 4.5.3.1.8 asks for 100.
    pub recipients: usize,
    /// Octets of a command line; longer than RFC 5321 section 4.5.3.1.4 asks for, as extensions lengthen it.
    pub command_line: usize,
    /// Octets of a line in a mail. RFC 5321 section 4.5.3.1.6 says 1,000; senders do not keep to it.
    pub text_line: u64,
    /// Octets of a mail that are kept and read; what is behind them only counts towards its size.
    pub kept: usize,
    /// Octets kept of all mails that are on their way in, beyond the first 16 KiB of each.
    pub kept_in_all: usize,
    /// For a command line to come in whole. RFC 5321 section 4.5.3.2.7 asks for 5 minutes.
    pub command_timeout: Duration,
    /// For a mail, plus the time that its octets take at [`Limits::least_rate`].
    pub data_timeout: Duration,
    /// Octets in a second that a mail has to come in with, beyond [`Limits::data_timeout`].
    pub least_rate: u64,
    /// For a handshake, for the header of a load balancer, and for a reply to leave.
    pub handshake_timeout: Duration,
    /// For the consumers to take a mail; clients wait for 10 minutes (RFC 5321 section 4.5.3.2.6).
    pub consumer_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            connections_per_source: 200,
            commands: 2000,
            refusals: 20,
            recipients: 100,
            command_line: 2048,
            text_line: 64 * 1024,
            kept: 256 * 1024,
            kept_in_all: 24 * 1024 * 1024,
            command_timeout: Duration::from_mins(5),
            data_timeout: Duration::from_mins(2),
            least_rate: 500,
            handshake_timeout: Duration::from_secs(30),
            consumer_timeout: Duration::from_mins(1),
        }
    }
}
