//! Reaching the server, and being greeted: from the name to EHLO.

use mailverity::{
    api::Reason::{
        ClientHostRejected, ConnectionClosed, ConnectionRefused, ConnectionReset, ConnectionTimedOut, DNSLookupFailed,
        DNSNoAddress, DestinationDenied, NetworkUnreachable, ProtocolError, RateLimited, ResponseTimedOut, ServerBusy,
        WrongProtocol, WrongTLSMode,
    },
    mail::{
        Stage::{Banner, Dns, Ehlo, ImplicitTls, Tcp},
        guard::{Guard, MAIL_PORTS},
    },
};

use crate::{
    rows::{Row, play, row},
    world::{World, implicit, plain, starttls},
};

/// As an installation is guarded by default, but for the port.
fn guarded() -> World {
    World { guard: Guard::new(Guard::default_denied(), 1..=u16::MAX), ..plain() }
}

fn guarded_by_port() -> World {
    World { guard: Guard::new(Vec::new(), MAIL_PORTS), ..plain() }
}

fn guarded_literal() -> World {
    guarded().edit(|spec| spec.host = Some("::ffff:127.0.0.1".to_owned()))
}

/// A check whose generation has had its TLS hello.
fn patient() -> World {
    World { may_greet_with_tls: false, ..plain() }
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // Names
    row(DNSLookupFailed, Dns, "NXDOMAIN", plain, "DNS: NXDOMAIN"),
    row(DNSLookupFailed, Dns, "SERVFAIL", plain, "DNS: SERVFAIL"),
    row(DNSLookupFailed, Dns, "REFUSED", plain, "DNS: REFUSED"),
    row(DNSLookupFailed, Dns, "no answer from the name server", plain, "
        DNS: silence
        TIME: 1s
    "),
    row(DNSNoAddress, Dns, "mx.test has no A and no AAAA record", plain, "DNS: nothing"),
    // Where we may not go. The address counts, whatever the name is (DNS rebinding), in every dress.
    row(DestinationDenied, Tcp, "127.0.0.1", guarded, "DNS: A 127.0.0.1"),
    row(DestinationDenied, Tcp, "169.254.169.254", guarded, "DNS: A 169.254.169.254"),
    row(DestinationDenied, Tcp, "127.0.0.1", guarded, "DNS: AAAA ::ffff:127.0.0.1"),
    row(DestinationDenied, Tcp, "127.0.0.1", guarded, "DNS: AAAA 64:ff9b::7f00:1"),
    row(DestinationDenied, Tcp, "127.0.0.1", guarded_literal, ""),
    row(DestinationDenied, Tcp, "--allowed-ports", guarded_by_port, ""),
    // TCP
    row(ConnectionRefused, Tcp, "connection refused", plain, "TCP: refused"),
    row(ConnectionRefused, Tcp, "127.0.0.2", plain, "
        DNS: A 127.0.0.1, A 127.0.0.2
        TCP: refused
    "),
    row(ConnectionTimedOut, Tcp, "no answer from 127.0.0.1", plain, "
        TCP: silence
        TIME: 1s
    "),
    // A broadcast address: the kernel answers for itself, and nothing leaves the machine.
    row(NetworkUnreachable, Tcp, "unreachable", plain, "DNS: A 255.255.255.255"),
    // The greeting
    row(ConnectionReset, Banner, "reset", plain, "
        -- waits 200ms
        -- resets
    "),
    row(ConnectionClosed, Banner, "closed the connection", plain, "-- closes"),
    row(ConnectionClosed, Banner, "220-mx.te", plain, r"
        -- says 220-mx.te
        -- closes
    "),
    row(WrongProtocol, Banner, "speaks FTP: 220 (vsFTPd 3.0.5)", plain, "S: 220 (vsFTPd 3.0.5)"),
    row(WrongProtocol, Banner, "speaks LMTP", plain, "S: 220 mx.test LMTP ready"),
    row(WrongProtocol, Banner, "speaks Telnet", plain, r"-- says \xff\xfd\x18\xff\xfd\x20\xff\xfd\x23"),
    // A server that waits for the client to begin, and answers the TLS hello in its own way.
    row(WrongProtocol, Banner, "speaks HTTP", plain, "
        TIME: 2s
        -- sees a TLS hello
        S: HTTP/1.1 400 Bad Request
    "),
    // The one reply that may come unasked.
    row(RateLimited, Ehlo, "421 4.7.0 too many", plain, "
        S: 220 mx.test
        S: 421 4.7.0 too many connections
    "),
    row(ResponseTimedOut, Banner, "said nothing", patient, "
        TIME: 1s
        -- hangs
    "),
    row(ResponseTimedOut, Banner, "did not end its line", patient, "
        TIME: 1s
        -- says 220 mx.te
        -- hangs
    "),
    row(ClientHostRejected, Banner, "554 5.7.1 Client host [192.0.2.7] blocked", plain, "S: 554 5.7.1 Client host [192.0.2.7] blocked"),
    row(ClientHostRejected, Banner, "554 No SMTP service here", plain, "S: 554 No SMTP service here"),
    row(ServerBusy, Banner, "421 4.3.2", plain, "S: 421 4.3.2 System not accepting network messages"),
    row(RateLimited, Banner, "421 4.7.0", plain, "S: 421 4.7.0 Too many connections from your address"),
    row(ProtocolError, Banner, "250 mx.test", plain, "S: 250 mx.test is glad to see you"),
    // Another protocol
    row(WrongProtocol, Banner, "HTTP", plain, "S: HTTP/1.1 400 Bad Request"),
    row(WrongProtocol, Banner, "SSH", plain, "S: SSH-2.0-OpenSSH_9.2p1"),
    row(WrongProtocol, Banner, "IMAP", starttls, "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready"),
    row(WrongProtocol, Banner, "POP3", starttls, "S: +OK POP3 ready <1896.697170952@mx.test>"),
    row(WrongProtocol, ImplicitTls, "IMAP", implicit, "
        -- sees a TLS hello
        S: * OK IMAP4rev1 ready
    "),
    row(WrongProtocol, ImplicitTls, "SSH", implicit, "
        S: SSH-2.0-OpenSSH_9.2p1
        -- sees a TLS hello
    "),
    // TLS where plain text was expected, and the reverse
    row(WrongTLSMode, Banner, "TLS from the first byte", starttls, r"-- says \x15\x03\x01\x00\x02\x02\x28"),
    row(WrongTLSMode, Banner, "answers a TLS hello", starttls, "
        TIME: 3s
        -- TLS good
    "),
    row(WrongTLSMode, Banner, "answers a TLS hello", plain, "
        TIME: 3s
        -- TLS ended in 2021
    "),
    row(WrongTLSMode, ImplicitTls, "220 mx.test ESMTP", implicit, "
        -- sees a TLS hello
        S: 220 mx.test ESMTP
    "),
    row(WrongTLSMode, ImplicitTls, "220 mx.test ESMTP", implicit, "
        S: 220 mx.test ESMTP
        -- sees a TLS hello
    "),
    // EHLO
    row(ConnectionClosed, Ehlo, "closed the connection", plain, "
        S: 220 mx.test ESMTP
        C: EHLO *
        -- closes
    "),
    row(ConnectionReset, Ehlo, "reset", plain, "
        S: 220 mx.test ESMTP
        C: EHLO *
        -- resets
    "),
    row(ResponseTimedOut, Ehlo, "said nothing", plain, "
        TIME: 2s
        S: 220 mx.test ESMTP
        C: EHLO *
        -- hangs
    "),
    row(ClientHostRejected, Ehlo, "550 5.7.1 Access denied for 192.0.2.7", plain, "
        S: 220 mx.test ESMTP
        C: EHLO *
        S: 550 5.7.1 Access denied for 192.0.2.7
        C: HELO *
        S: 550 5.7.1 Access denied for 192.0.2.7
    "),
    row(ServerBusy, Ehlo, "421 4.3.2 Shutting down", plain, "
        S: 220 mx.test ESMTP
        C: EHLO *
        S: 421 4.3.2 Shutting down
    "),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_be_reached_or_greets_wrongly_is_told_by_its_reason() {
    play(ROWS).await;
}
