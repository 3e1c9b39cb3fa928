//! The egress proxy: SOCKS5 (RFC 1928) and HTTP CONNECT, with a login and without. The server of a script plays both the
//! proxy and, behind it, the mail server.

use mailverity::{
    api::Reason::{DestinationDenied, ProxyFailed, ResponseTimedOut},
    mail::{
        Stage::{Banner, Proxy},
        guard::{Guard, MAIL_PORTS},
    },
};

use crate::{
    rows::{Row, play, row},
    world::{World, plain},
};

fn by(proxy: &'static str) -> World {
    World { proxy: Some(proxy), ..plain().edit(|spec| spec.port = Some(2525)) }
}

fn socks() -> World {
    by("socks5://")
}

fn socks_with_login() -> World {
    by("socks5://ada:sekrit@")
}

fn http() -> World {
    by("http://")
}

fn guarded() -> World {
    let guard = Guard::new(Guard::default_denied(), MAIL_PORTS);
    World { guard, ..socks().edit(|spec| spec.host = Some("localhost".to_owned())) }
}

const GREETED_WITHOUT_LOGIN: &str = r"-- hears \x05\x01\x00
    -- says \x05\x00
    -- hears \x05\x01\x00\x03\x07mx.test\x09\xdd
";

macro_rules! asked_for {
    ($rest:literal) => {
        concat!(
            r"-- hears \x05\x01\x00
            -- says \x05\x00
            -- hears \x05\x01\x00\x03\x07mx.test\x09\xdd
            ",
            $rest
        )
    };
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(ProxyFailed, Proxy, "connection refused", socks, "TCP: refused"),
    row(ProxyFailed, Proxy, "no answer in time", socks, "TIME: 1s\nTCP: silence"),
    row(ProxyFailed, Proxy, "no answer in time", socks, "TIME: 1s\n-- hears \\x05\\x01\\x00\n-- hangs"),
    row(ProxyFailed, Proxy, "its rules forbid the connection", socks, asked_for!(r"-- says \x05\x02\x00\x01\x00\x00\x00\x00\x00\x00")),
    row(ProxyFailed, Proxy, "connection refused", socks, asked_for!(r"-- says \x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")),
    row(ProxyFailed, Proxy, "it takes no login that we have", socks, r"
        -- hears \x05\x01\x00
        -- says \x05\xff
    "),
    row(ProxyFailed, Proxy, "it refused user name or password", socks_with_login, r"
        -- hears \x05\x02\x00\x02
        -- says \x05\x02
        -- hears \x01\x03ada\x06sekrit
        -- says \x01\x01
    "),
    row(ProxyFailed, Proxy, "it does not speak SOCKS5", socks, r"
        -- hears \x05\x01\x00
        S: HTTP/1.1 400 Bad Request
    "),
    row(ProxyFailed, Proxy, "HTTP/1.1 403 Forbidden", http, "
        C: CONNECT mx.test:2525 HTTP/1.1
        C: Host: mx.test:2525
        C:
        S: HTTP/1.1 403 Forbidden
        S:
    "),
    row(ProxyFailed, Proxy, "its answer has no end", http, "
        C: CONNECT mx.test:2525 HTTP/1.1
        C: Host: mx.test:2525
        C:
        S: HTTP/1.1 200 OK
        -- repeats 2000 times: X-Padding: 0123456789\\r\\n
    "),
    // The guard judges the name, since it is the proxy that resolves it.
    row(DestinationDenied, Proxy, "localhost:2525", guarded, ""),
    // The mail server behind the proxy
    row(ResponseTimedOut, Banner, "said nothing", socks, concat!("TIME: 2s\n", asked_for!(r"
        -- says \x05\x00\x00\x01\x00\x00\x00\x00\x00\x00
        -- hangs
    "))),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_does_not_connect_us_is_told_in_its_own_words() {
    play(ROWS).await;
}

#[tokio::test]
async fn a_server_behind_a_proxy_is_checked_like_any_other() {
    let login = r"
        -- hears \x05\x02\x00\x02
        -- says \x05\x02
        -- hears \x01\x03ada\x06sekrit
        -- says \x01\x00
        -- hears \x05\x01\x00\x03\x07mx.test\x09\xdd
    ";
    let connected = r"-- says \x05\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    let named = r"-- says \x05\x00\x00\x03\x03abc\x00\x00";
    let connect = "
        C: CONNECT mx.test:2525 HTTP/1.1
        C: Host: mx.test:2525
    ";
    let basic = "C: Proxy-Authorization: Basic YWRhOnNla3JpdA==";
    // What stands in one segment behind the proxy's answer is the mail server's.
    let greeting = "C:\nS: HTTP/1.1 200 Connection established\nS:\nS: 220 mx.test ESMTP\nC: EHLO *\nS: 250 mx.test";
    for (world, talk) in [
        (socks(), format!("{GREETED_WITHOUT_LOGIN}{connected}\n-- greets, offering SIZE")),
        (socks(), format!("{GREETED_WITHOUT_LOGIN}{named}\n-- greets, offering SIZE")),
        (socks_with_login(), format!("{login}\n{connected}\n-- greets, offering SIZE")),
        (
            socks_with_login(),
            format!(
                "-- hears \\x05\\x02\\x00\\x02\n-- says \\x05\\x00\n-- hears \\x05\\x01\\x00\\x03\\x07mx.test\\x09\\xdd\n{connected}\n-- greets, offering SIZE"
            ),
        ),
        (http(), format!("{connect}\n{greeting}")),
        (by("http://ada:sekrit@"), format!("{connect}\n{basic}\n{greeting}")),
    ] {
        let played = world.plays(&talk).await;
        played.verified();
        assert!(!format!("{:?}", played.report).contains("sekrit"));
    }
}
