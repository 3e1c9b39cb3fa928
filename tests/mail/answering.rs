//! What answers at remote.test, by Pigeonhole, each as people's mail systems do; and the desk of a real mailbox, at which
//! answers are waited for.

use std::time::Duration;

use futures::{
    FutureExt,
    future::{BoxFuture, join, join_all},
};
use mailverity::{
    api::{
        Reason,
        v1alpha1::{Expect, RoundTripPolicySpec},
    },
    mail::{Diagnosis, mailbox::Cleanup, protocol::Protocol},
    verify::{
        Gate, Open,
        gate::Account,
        mailbox::desk::{Awaited, Desk, Heard, News, Tells, Wish, watch},
        report::LoginOutcome,
        round_trip::matching::Expectation,
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::watch as channel,
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    support::stack::Stack,
    watching::{Owner, vantage},
};

/// A mail as a probe is: nothing in it says that a program has sent it.
struct Probe<'a> {
    /// The envelope sender.
    sender: &'a str,
    from: &'a str,
    to: &'a str,
    id: Uuid,
}

impl Probe<'_> {
    /// Brings it to the port that takes mail for its own domains.
    async fn send(&self, stack: &Stack) {
        let Self { sender, from, to, id } = self;
        let stream = TcpStream::connect(("127.0.0.1", stack.port("PLAIN_PORT"))).await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut replies = BufReader::new(read).lines();
        let mail = format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: round trip ({id})\r\nMessage-ID: <{id}@example.test>\r\n\r\n\
             do not remove this line\r\n.\r\n"
        );
        for (said, code) in [
            ("", "220 "),
            ("EHLO example.test\r\n", "250 "),
            (&format!("MAIL FROM:<{sender}> RET=HDRS ENVID={id}\r\n"), "250 "),
            (&format!("RCPT TO:<{to}>\r\n"), "250 "),
            ("DATA\r\n", "354 "),
            (&mail, "250 "),
            ("QUIT\r\n", "221 "),
        ] {
            write.write_all(said.as_bytes()).await.unwrap();
            loop {
                let reply = replies.next_line().await.unwrap().expect("a reply");
                if reply.starts_with(code) {
                    break;
                }
                assert!(reply.starts_with(&code.replace(' ', "-")), "{said:?}: {reply}");
            }
        }
    }
}

async fn user(stack: &Stack, name: &str) -> String {
    stack.user(&format!("{name}-{}", Uuid::new_v4().simple()), "own-secret").await
}

#[tokio::test]
async fn echo_and_forward_send_back_what_came_to_its_from_and_to_its_envelope_sender() {
    let stack = Stack::get();
    let (sender, from) = (user(&stack, "sender").await, user(&stack, "from").await);
    for (to, back) in [("echo@remote.test", &from), ("forward@remote.test", &sender)] {
        let probe = Probe { sender: &sender, from: &from, to, id: Uuid::new_v4() };
        probe.send(&stack).await;
        let mail = stack.mail(back, &format!("Message-ID: <{}@example.test>", probe.id)).await;
        for kept in [format!("From: <{from}>"), "do not remove this line".to_owned()] {
            assert!(mail.contains(&kept), "{to}: {mail}");
        }
    }
}

#[tokio::test]
async fn vacation_answers_each_mail_and_away_the_first_of_a_sender() {
    let stack = Stack::get();
    let sender = user(&stack, "sender").await;
    let (mut of_vacation, mut of_away) = (Vec::new(), Vec::new());
    for (to, ids) in [("away@remote.test", &mut of_away), ("vacation@remote.test", &mut of_vacation)] {
        for _ in 0..2 {
            let probe = Probe { sender: &sender, from: &sender, to, id: Uuid::new_v4() };
            probe.send(&stack).await;
            ids.push(probe.id);
            if to.starts_with("away") && ids.len() == 2 {
                continue;
            }
            let mail = stack.mail(&sender, &format!("In-Reply-To: <{}@example.test>", probe.id)).await;
            for line in [&format!("From: <{to}>"), "Return-Path: <>", "Auto-Submitted: auto-replied (vacation)"] {
                assert!(mail.contains(line), "{line}: {mail}");
            }
            assert!(mail.contains(&probe.id.to_string()) && !mail.contains("do not remove this line"), "{mail}");
        }
    }
    // What came later than away's second was answered.
    assert_eq!(stack.mails(&sender, &of_away[1].to_string()), Vec::<String>::new());
}

/// Open until somebody ends it.
struct Ends(channel::Receiver<bool>);

impl Gate for Ends {
    fn login<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), Diagnosis>> {
        Open.login(account)
    }

    fn logged_in(&self, _: &Account, _: LoginOutcome) {}

    fn send<'a>(&'a self, recipient: &'a str) -> BoxFuture<'a, Result<(), Diagnosis>> {
        Open.send(recipient)
    }

    fn still(&self) -> Result<(), Diagnosis> {
        Ok(())
    }

    fn ends(&self) -> BoxFuture<'_, ()> {
        let mut ends = self.0.clone();
        async move { drop(ends.wait_for(|ends| *ends).await) }.boxed()
    }
}

/// Sends a probe and waits at the desk for its answer, which is noted; and how long that took.
async fn asks(owner: &Owner, protocol: Protocol, desk: &Desk, to: &str, expect: Expect) -> (Option<Reason>, Duration) {
    let (end, ends) = channel::channel(false);
    let (inputs, vantage, gate) = (owner.inputs(protocol), vantage(), Ends(ends));
    let probe = Probe { sender: &owner.address, from: &owner.address, to, id: Uuid::new_v4() };
    let asking = async {
        let since = Some(desk.note().await.unwrap());
        let mut spec = RoundTripPolicySpec { to: to.to_owned(), expect, ..RoundTripPolicySpec::default() };
        "do not remove this line".clone_into(&mut spec.message.body);
        let awaited = vec![Awaited::Answer(Expectation::new(&spec, probe.id, &owner.address))];
        let begun = Instant::now();
        let until = Some(begun + Duration::from_mins(1));
        let (mut news, _waits) = desk.wait_for(Wish { awaited, cleanup: Cleanup::Delete, since, begun, until });
        probe.send(&owner.stack).await;
        let Some(News::Mail(mail)) = timeout(Duration::from_secs(40), news.recv()).await.expect("an answer in time") else {
            panic!("no mail");
        };
        let took = begun.elapsed();
        let Heard { tells: Tells::Answer(id, answer), noted, .. } = *mail else { panic!("{mail:?}") };
        assert_eq!(id, probe.id);
        noted.tell();
        end.send_replace(true);
        (answer.failure.map(|failure| failure.reason), took)
    };
    let (watched, found) = join(watch(&inputs, &vantage, &gate, desk), asking).await;
    assert_eq!(watched, Ok(()));
    found
}

#[tokio::test]
async fn answers_of_each_kind_are_found_in_a_mailbox_and_removed_and_nothing_else_is() {
    // promises 10 and 11
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let owner = Owner::new("answers").await;
        owner.put("somebody else's", "x", "");
        owner.put("somebody else's, marked as deleted", "x", "ST");
        let nobody = format!("nobody-{}@example.test", Uuid::new_v4().simple());
        for (to, expect, reason) in [
            ("echo@remote.test", Expect::Redirect, None),
            ("forward@remote.test", Expect::Redirect, None),
            ("vacation@remote.test", Expect::OutOfOffice, None),
            ("vacation@remote.test", Expect::Reply, Some(Reason::ReplyBodyMissing)),
            (&nobody, Expect::Reply, Some(Reason::MessageBounced)),
        ] {
            let (found, took) = asks(&owner, protocol, &Desk::default(), to, expect).await;
            assert_eq!(found, reason, "{to} over {protocol:?}");
            assert!(took < Duration::from_secs(15), "{to} over {protocol:?}: {took:?}");
        }
        let left = owner.mails();
        assert_eq!(left.len(), 2, "{left:#?}");
    }
}

#[tokio::test]
async fn thirty_who_wait_at_one_mailbox_take_one_session() {
    let (owner, desk) = (Owner::new("shared").await, Desk::default());
    let all = (0..30).map(|_| asks(&owner, Protocol::Imap, &desk, "forward@remote.test", Expect::Redirect));
    for (found, took) in join_all(all).await {
        assert_eq!(found, None);
        assert!(took < Duration::from_secs(35), "{took:?}");
    }
    assert_eq!(owner.mails(), Vec::<String>::new());
    assert_eq!(owner.stack.log("DOVECOT_LOG", &["imap-login: Info: Login", &owner.address]), 1);
}
