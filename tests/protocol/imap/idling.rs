//! Waiting by IDLE, which follows on a number of NOOPs that nobody can tell before.

use std::time::Duration;

use mailverity::{
    api::Reason,
    mail::{Diagnosis, Stage},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    time::Instant,
};

use super::Played;

/// Waits three seconds at a server that answers IDLE like this, and DONE with an OK; and what it heard from IDLE on.
async fn waits(answer: &'static str) -> (Result<bool, Diagnosis>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"* OK [CAPABILITY IMAP4rev1 SASL-IR IDLE AUTH=PLAIN] ready\r\n").await.unwrap();
        let (mut heard, mut idle) = (Vec::new(), String::new());
        while let Ok(Some(line)) = lines.next_line().await {
            let (tag, command) = line.split_once(' ').unwrap_or(("", &line));
            let answer = match command.split(' ').next().unwrap() {
                "AUTHENTICATE" => format!("{tag} OK [CAPABILITY IMAP4rev1 IDLE] in\r\n"),
                "SELECT" => format!("* 5 EXISTS\r\n* OK [UIDVALIDITY 9]\r\n* OK [UIDNEXT 21]\r\n{tag} OK done\r\n"),
                "IDLE" => {
                    tag.clone_into(&mut idle);
                    answer.replace("TAG", tag)
                }
                "DONE" => format!("{idle} OK done\r\n"),
                _ => format!("{tag} OK done\r\n"),
            };
            if !idle.is_empty() {
                heard.push(command.to_owned());
            }
            write.write_all(answer.as_bytes()).await.unwrap();
            if answer.starts_with("* BYE") {
                break;
            }
        }
        heard
    });
    let mut mailbox = Played::at(address).opens().await.unwrap();
    let waited = mailbox.wait(Instant::now() + Duration::from_secs(3)).await;
    drop(mailbox);
    (waited, server.await.unwrap())
}

#[tokio::test]
async fn a_notice_ends_the_wait_also_where_it_comes_with_the_consent() {
    for answer in ["+ idling\r\n* OK still here\r\n* 6 EXISTS\r\n", "* 6 EXISTS\r\n+ idling\r\n"] {
        let (waited, heard) = waits(answer).await;
        assert!(waited.unwrap(), "{answer}");
        assert_eq!(heard, ["IDLE", "DONE"], "{answer}");
    }
}

#[tokio::test]
async fn without_a_notice_idle_is_left_in_time() {
    let begun = Instant::now();
    let (waited, heard) = waits("+ idling\r\n").await;
    assert!(!waited.unwrap());
    assert_eq!(heard, ["IDLE", "DONE"]);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn who_refuses_idle_is_asked_in_steps() {
    let (waited, heard) = waits("TAG BAD no\r\n").await;
    assert!(!waited.unwrap());
    assert!(heard.len() > 1 && heard[1..].iter().all(|command| command == "NOOP"), "{heard:?}");
}

#[tokio::test]
async fn a_goodbye_while_one_idles_is_told() {
    let (waited, _) = waits("* BYE Autologout\r\n").await;
    let failure = waited.unwrap_err();
    assert_eq!((failure.reason, failure.stage), (Reason::ConnectionClosed, Some(Stage::Fetch)));
    assert_eq!(failure.words.as_deref(), Some("BYE Autologout"));
}
