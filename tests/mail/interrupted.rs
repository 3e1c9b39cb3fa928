//! Ctrl-C during `check --live`: what is on its way is settled, and the rest is left.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Child, Command},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    profiles::{Owner, object, profiles, stage},
    support::{
        command::{Folder, Ran, start},
        leaks,
    },
};

/// Sends a signal. Nothing shows that it was heard, so there is a moment for that.
pub fn tell(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(300));
}

/// Waits for a command's end; what it printed shows no secret.
pub fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
    leaks::none_in("all that was printed", &(ran.out.clone() + &ran.err));
    ran
}

#[tokio::test]
async fn a_search_that_is_interrupted_looks_once_more_and_shows_nothing_to_a_process_list() {
    let (owner, other) = (Owner::new("interrupted").await, Owner::new("elsewhere").await);
    // It goes to another mailbox, so that it is never found in this one.
    let rest = json!({"address": other.address, "verification": {"senderRef": {"name": "relay"}, "timeout": "5m"}});
    let both = owner.profile("box", rest) + &owner.profile("never-begun", json!({}));
    let folder = Folder::new();
    let file = folder.file("box.yaml", owner.manifests(&both));
    let child = start(&["check", "--live", "-f", &file, "-o", "json"], "/dev/null");
    let end = Instant::now() + Duration::from_secs(20);
    while other.sent() == 0 {
        assert!(Instant::now() < end, "nothing was sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for entry in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{}/{entry}", child.id())).unwrap();
        leaks::none_in(entry, &String::from_utf8_lossy(&text));
    }
    let before = Instant::now();
    tell(&child, "-INT");
    let ran = ended(child);
    assert!(before.elapsed() < Duration::from_secs(10), "it waits for the mail all the same");
    let proofs = profiles(&ran);
    assert_eq!((ran.code, &proofs[0]["reason"]), (1, &"MessageNotReceived".into()), "{}{}", ran.out, ran.err);
    assert!(proofs[0]["sent"].is_string() && proofs[0]["message"].as_str().unwrap().contains("the search was ended"));
    assert_eq!(proofs[1]["result"], "Valid", "it was not begun");
    assert!(ran.err.contains("interrupted; not checked: EmailProfile team/never-begun"), "{}", ran.err);
}

/// A server that takes a mail, and answers its final dot when it is told to.
fn slow(listener: &TcpListener, dot: &mpsc::Sender<()>, answer: &mpsc::Receiver<()>) -> String {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut out = stream.try_clone().unwrap();
    let mut said = String::new();
    out.write_all(b"220 slow.test ESMTP\r\n").unwrap();
    let mut in_data = false;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        said.push_str(&line);
        said.push('\n');
        let reply = match line.as_str() {
            "." => {
                in_data = false;
                dot.send(()).unwrap();
                answer.recv().unwrap();
                "250 2.0.0 taken"
            }
            _ if in_data => continue,
            "DATA" => {
                in_data = true;
                "354 go on"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        if out.write_all(format!("{reply}\r\n").as_bytes()).is_err() || line == "QUIT" {
            break;
        }
    }
    said
}

#[tokio::test]
async fn a_mail_that_is_on_its_way_is_settled_before_an_interrupted_run_ends() {
    let owner = Owner::new("settled").await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = json!({"host": "127.0.0.1", "port": listener.local_addr().unwrap().port(), "security": "None",
        "sender": {"address": "probe@example.test"}});
    let ((dot, seen), (answer, told)) = (mpsc::channel(), mpsc::channel());
    let server = std::thread::spawn(move || slow(&listener, &dot, &told));
    let box_ = owner.profile("box", json!({"verification": {"senderRef": {"name": "slow"}, "timeout": "5m"}}));
    let folder = Folder::new();
    let file = folder.file("box.yaml", owner.manifests(&box_) + &object("MailServer", "slow", &relay));
    let child = start(&["check", "--live", "-f", &file, "-o", "json"], "/dev/null");
    seen.recv_timeout(Duration::from_secs(20)).unwrap();
    tell(&child, "-TERM");
    // It waits all the same.
    assert!(fs::exists(format!("/proc/{}/fd", child.id())).unwrap());
    answer.send(()).unwrap();
    let ran = ended(child);
    let proof = profiles(&ran).swap_remove(0);
    assert_eq!((ran.code, &proof["reason"]), (1, &"MessageNotReceived".into()), "{}{}", ran.out, ran.err);
    assert_eq!(stage(&proof["sending"], "DATA").unwrap()["detail"], "250 2.0.0 taken", "{proof:#}");
    assert!(server.join().unwrap().ends_with(".\nQUIT\n"), "the server was left without a word");
}

/// A server without TLS on this port, that is checked by a mail.
fn delivers(listener: &TcpListener) -> String {
    let port = listener.local_addr().unwrap().port();
    let spec = json!({"host": "127.0.0.1", "port": port, "security": "None", "sender": {"address": "a@b.test"},
        "test": {"to": "c@b.test"}, "verification": {"level": "Deliver"}});
    object("MailServer", "slow", &spec)
}

#[test]
fn a_server_is_let_answer_a_mail_before_its_check_ends_and_is_left_at_once_without_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new();
    let file =
        folder.file("slow.yaml", delivers(&listener) + &object("MailServer", "next", &json!({"host": "127.0.0.1", "port": 1})));
    let ((dot, seen), (answer, told)) = (mpsc::channel(), mpsc::channel());
    let silent = listener.try_clone().unwrap();
    let server = std::thread::spawn(move || slow(&listener, &dot, &told));
    let child = start(&["check", "--live", "-f", &file, "-o", "json"], "/dev/null");
    seen.recv_timeout(Duration::from_secs(20)).unwrap();
    tell(&child, "-INT");
    answer.send(()).unwrap();
    let ran = ended(child);
    let lines = ran.lines();
    assert_eq!((ran.code, &lines[0]["result"], &lines[1]["result"]), (1, &"Verified".into(), &"Valid".into()), "{}", ran.out);
    assert!(ran.err.contains("interrupted; not checked: MailServer team/next"), "{}", ran.err);
    assert!(server.join().unwrap().ends_with(".\nQUIT\n"), "the server was left without a word");

    // Nobody greets this time.
    let child = start(&["check", "--live", "-f", &file], "/dev/null");
    let connection = silent.accept().unwrap();
    let before = Instant::now();
    tell(&child, "-INT");
    let ran = ended(child);
    assert!(ran.code == 1 && before.elapsed() < Duration::from_secs(5), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("not checked: MailServer team/slow, MailServer team/next"), "{}", ran.err);
    drop(connection);
}
