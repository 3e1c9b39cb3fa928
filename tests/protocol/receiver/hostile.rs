//! Those who want to keep mail out, or to bring the receiver down. Against each of them honest mail gets through, and the
//! program, in a process of its own, never has more than 64 MiB above what it has when it idles.

use std::net::Ipv4Addr;

use tokio::net::TcpSocket;

use super::{
    Client,
    command::{Folder, Program},
    tls,
};

const MOST_KIB: u64 = 64 * 1024;
const HONEST: &str = "
    S: 220 *
    C: HELO client.test
    C: MAIL FROM:<ops@client.test>
    C: RCPT TO:<notify@example.org>
    C: DATA
    S: 250 mx.example.org
    S: 250 2.1.0 *
    S: 250 2.1.5 *
    S: 354 *
    C: Subject: honest
    C: .
    S: 250 2.0.0 *
    C: QUIT
    S: 221 *
    -- closed
";
const BEGUN: &str =
    "S: 220 *\nC: HELO a.test\nC: MAIL FROM:<>\nC: RCPT TO:<notify@example.org>\nC: DATA\nS: 250 *\nS: 250 *\nS: 250 *\nS: 354 *";

/// A program under attack.
struct Target {
    program: Program,
    idle: u64,
}

impl Target {
    async fn start(flags: &[&str]) -> Self {
        let mut program = Program::start(flags).await;
        // What is built at the first mail is no cost of an attack.
        Client::connect(program.address).await.plays(HONEST).await;
        program.mail().await;
        let idle = kib(&program, "VmRSS:");
        Self { program, idle }
    }

    /// A connection from one of 65,000 addresses.
    async fn attacker(&self, n: usize) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        let [high, low] = u16::try_from(n % 65_000).unwrap().to_be_bytes();
        socket.bind((Ipv4Addr::new(127, 1, high, low), 0).into()).unwrap();
        Client::on(socket.connect(self.program.address).await.unwrap())
    }

    /// An honest mail gets through; mails that attackers brought may have come before.
    async fn takes_honest_mail(&mut self) {
        Client::connect(self.program.address).await.plays(HONEST).await;
        while self.program.mail().await["header"]["subject"] != "honest" {}
    }

    /// The most memory that it ever had is bounded, and it ends in order.
    async fn survives(self) {
        let grown = kib(&self.program, "VmHWM:").saturating_sub(self.idle);
        println!("{grown} KiB above {} KiB", self.idle);
        assert!(grown < MOST_KIB, "{grown} KiB above {} KiB", self.idle);
        let (code, said) = self.program.ends().await;
        assert_eq!(code, 0, "{said}");
    }
}

fn kib(program: &Program, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.child.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// As many connections as this process and the program may have open, 10,000 at most.
fn many() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let files: usize = line.split_whitespace().next().unwrap().parse().unwrap();
    (files - 200).min(10_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_connections_cost_little() {
    let mut target = Target::start(&["--max-connections", "12000", "--max-connections-per-source", "12000"]).await;
    let mut idle = Vec::new();
    for n in 0..many() {
        let mut client = target.attacker(n).await;
        client.plays("S: 220 *").await;
        if n % 2 == 0 {
            client.plays("C: HELO a.test\nC: MAIL FROM:<>\nS: 250 *\nS: 250 *").await;
        }
        idle.push(client);
    }
    target.takes_honest_mail().await;
    // None of them was sent away for it.
    idle[0].plays("C: NOOP\nS: 250 *").await;
    target.survives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_idle_connections_with_tls_as_there_may_be_fit_too() {
    let (folder, pair) = (Folder::new(), tls::pair("mx.example.org"));
    let (chain, key) = (folder.file("tls.crt", &pair.0), folder.file("tls.key", &pair.1));
    let mut target = Target::start(&["--tls-cert", &chain, "--tls-key", &key]).await;
    let mut idle = Vec::new();
    for n in 0..many().min(990) {
        let mut client = target.attacker(n).await;
        client.plays("S: 220 *\nC: STARTTLS\nS: 220 *").await;
        let mut client = Client::on(tls::handshake(client.into_socket(), &pair.0, "mx.example.org").await.unwrap());
        client.plays("C: HELO a.test\nS: 250 *").await;
        idle.push(client);
    }
    target.takes_honest_mail().await;
    target.survives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_idle_connections_than_there_is_room_for_keep_no_mail_out() {
    let mut target = Target::start(&["--max-connections", "300"]).await;
    let mut idle = Vec::new();
    for n in 0..many().min(2000) {
        let mut client = target.attacker(n).await;
        client.plays("S: 220 *").await;
        idle.push(client);
    }
    target.takes_honest_mail().await;
    idle[0].plays("S: 421 4.3.2 *\n-- closed").await;
    target.survives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_octet_by_octet_keeps_no_mail_out() {
    let mut target = Target::start(&["--max-connections", "200", "--grace", "1s"]).await;
    let mut slow = Vec::new();
    for n in 0..150 {
        let mut client = target.attacker(n).await;
        client.plays(BEGUN).await;
        slow.push(client);
    }
    for n in 150..400 {
        let mut client = target.attacker(n).await;
        client.plays("S: 220 *").await;
        slow.push(client);
    }
    for _ in 0..20 {
        for client in &mut slow {
            client.sends(b"x").await;
        }
    }
    target.takes_honest_mail().await;
    target.survives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_lines_and_mails_are_cut() {
    let mut target = Target::start(&[]).await;
    let mut floods = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut client = target.attacker(n).await;
        if n % 2 == 0 {
            client.plays(BEGUN).await;
        }
        floods.spawn(async move {
            // Lines in mails, and one line that never ends as a command.
            let piece = if n % 4 == 0 { b"0123456789abcde\r\n".repeat(4096) } else { vec![b'x'; 65536] };
            let mut sent = 0_u64;
            while sent < 1 << 30 && client.took(&piece).await {
                sent += piece.len() as u64;
            }
            sent
        });
    }
    for _ in 0..20 {
        target.takes_honest_mail().await;
    }
    while let Some(sent) = floods.join_next().await {
        // Twice what a mail may have, what is heard after the farewell, and what the system's buffers hold.
        assert!(sent.as_ref().unwrap() < &(64 << 20), "{sent:?}");
    }
    target.takes_honest_mail().await;
    target.survives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_recipients_end_the_conversation() {
    let mut target = Target::start(&[]).await;
    let mut client = target.attacker(1).await;
    client.plays("S: 220 *\nC: HELO a.test\nC: MAIL FROM:<>\nS: 250 *\nS: 250 *").await;
    let flood = tokio::spawn(async move {
        let piece = b"RCPT TO:<notify+1@example.org>\r\n".repeat(1000);
        let mut sent = 0;
        while sent < 1_000_000 && client.took(&piece).await {
            sent += 1000;
        }
        sent
    });
    target.takes_honest_mail().await;
    let sent = flood.await.unwrap();
    assert!(sent < 1_000_000, "{sent}");
    target.survives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_that_are_traps_for_parsers_are_taken_like_others() {
    let mut target = Target::start(&[]).await;
    let level = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let traps = [
        (0..10_000).map(level).collect::<Vec<_>>().concat(),
        "Content-Type: message/rfc822\r\n\r\n".repeat(10_000),
        "X-Header: value\r\n".repeat(10_000_000 / 17),
        format!("Subject: {}", "=?utf-8?q?=41?=\r\n ".repeat(9_900_000 / 18)),
        format!("To: {}", "<a@b.test>,\r\n ".repeat(9_900_000 / 14)),
        format!("Content-Type: text/html\r\n\r\n{}", "<div>\r\n".repeat(1_400_000)),
    ];
    for trap in traps {
        let mut clients = Vec::new();
        for n in 0..4 {
            let mut client = target.attacker(n).await;
            client.plays(BEGUN).await;
            let trap = trap.clone();
            clients.push(tokio::spawn(async move {
                assert!(client.took(trap.as_bytes()).await && client.took(b"\r\n.\r\n").await);
                client.plays("S: 250 2.0.0 *").await;
            }));
        }
        target.takes_honest_mail().await;
        for client in clients {
            client.await.unwrap();
        }
    }
    target.survives().await;
}
