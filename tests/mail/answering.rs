//! What answers at remote.test, by Pigeonhole: each as people's mail systems do.

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use uuid::Uuid;

use super::support::stack::Stack;

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
            (&format!("MAIL FROM:<{sender}>\r\n"), "250 "),
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
