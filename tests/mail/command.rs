//! The command line against the real stack: what `probe` and `check --live` find, print and exit with.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    time::Duration,
};

use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{
    command::{Folder, Ran, run, start},
    leaks,
    stack::{NTLM, Stack},
};

/// The URL of a port of the stack.
fn url(stack: &Stack, scheme: &str, port: &str) -> String {
    format!("{scheme}://localhost:{}", stack.port(port))
}

/// `probe` of a port of the stack, whose CA is trusted; JSON.
fn probe(stack: &Stack, url: &str, flags: &[&str], input: &str) -> Ran {
    run(&[&["probe", url, "--ca-file", stack.var("CA_FILE"), "-o", "json"], flags].concat(), input)
}

fn stage<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    report["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == name)
}

/// A user of a test's own: its address and its password.
async fn account(stack: &Stack, test: &str) -> (String, String) {
    let password = leaks::password(test);
    let user = stack.user(&format!("{test}-{}", Uuid::new_v4().simple()), &password).await;
    (user, password)
}

#[test]
fn a_probe_logs_in_over_each_security_by_each_mechanism() {
    let (stack, folder) = (Stack::get(), Folder::new());
    let file = folder.file("password", "alice-secret\n");
    for (scheme, port, security) in [
        ("smtp", "PLAIN_PORT", Some("None")),
        ("smtp", "SUBMISSION_PORT", None),
        ("smtp", "SUBMISSION_PORT", Some("starttls")),
        ("smtp", "SMTPS_PORT", Some("TLS")),
        ("smtps", "SMTPS_PORT", None),
    ] {
        for mechanism in [None, Some("PLAIN"), Some("LOGIN"), Some("CRAM-MD5"), Some("NTLM")] {
            let user = if mechanism == Some("NTLM") { "EXAMPLE\\alice" } else { "alice@example.test" };
            let mut flags = vec!["--username", user, "--password-file", &file];
            flags.extend(security.iter().flat_map(|security| ["--security", security]));
            flags.extend(mechanism.iter().flat_map(|mechanism| ["--mechanism", mechanism]));
            if security == Some("None") {
                flags.push("--allow-plaintext");
            }
            let _alone = (mechanism == Some("NTLM")).then(|| NTLM.blocking_lock());
            let ran = probe(&stack, &url(&stack, scheme, port), &flags, "");
            let report = ran.json();
            assert_eq!(
                (ran.code, &report["result"], &report["reason"]),
                (0, &"Verified".into(), &"Succeeded".into()),
                "{report:#}"
            );
            let noted = stage(&report, "AUTH").unwrap()["detail"].as_str().unwrap();
            assert!(noted.starts_with(mechanism.unwrap_or("PLAIN")), "{noted}");
            assert_eq!(report["tls"].is_object(), security != Some("None"), "{report:#}");
            assert!(ran.err.is_empty(), "{}", ran.err);
        }
    }
}

#[tokio::test]
async fn a_probe_goes_as_far_as_its_level_and_only_deliver_sends_a_mail() {
    let (stack, folder) = (Stack::get(), Folder::new());
    let (file, url) = (folder.file("password", "probe-secret"), url(&stack, "smtp", "SUBMISSION_PORT"));
    let login = ["--username", "probe@example.test", "--password-file", &file];
    for (level, auth, data) in [("connect", false, false), ("Authenticate", true, false), ("Deliver", true, true)] {
        let mut flags = [&login[..], &["--level", level]].concat();
        if data {
            flags.extend(["--from", "probe@example.test", "--to", "inbound@example.test"]);
        }
        let ran = probe(&stack, &url, &flags, "");
        let report = ran.json();
        assert_eq!(ran.code, 0, "{report:#}");
        assert_eq!(report["level"].as_str().unwrap().to_lowercase(), level.to_lowercase());
        assert_eq!((stage(&report, "AUTH").is_some(), stage(&report, "DATA").is_some()), (auth, data), "{report:#}");
        if data {
            let message = report["message"].as_str().unwrap();
            let queued = message.split("queued as ").nth(1).unwrap().trim_end_matches('.');
            let mail = stack.mail("inbound@example.test", queued).await;
            assert!(mail.lines().any(|line| line.starts_with("Subject: mailverity check (")), "{mail}");
            leaks::none_in("the test mail", &mail);
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_1_with_the_servers_words_and_one_refused_login() {
    // promise 7, at a shell
    let stack = Stack::get();
    let (user, _) = account(&stack, "typo").await;
    let url = url(&stack, "smtp", "SUBMISSION_PORT");
    let wrong = leaks::password("mistyped");
    let ran = probe(&stack, &url, &["--username", &user, "--password-file", "-"], &wrong);
    let report = ran.json();
    assert_eq!(
        (ran.code, &report["result"], &report["reason"], &report["stage"]),
        (1, &"Unverified".into(), &"AuthenticationFailed".into(), &"AUTH".into()),
        "{report:#}"
    );
    assert!(report["message"].as_str().unwrap().starts_with("AUTH: 535 5.7.8"), "{report:#}");
    assert_eq!(stage(&report, "AUTH").unwrap()["result"], "Failed");
    assert_eq!(stack.log("DOVECOT_LOG", &[&user, "Password mismatch"]), 1);
}

#[test]
fn a_newline_that_an_editor_left_is_no_part_of_a_password_and_two_are() {
    let stack = Stack::get();
    let url = url(&stack, "smtps", "SMTPS_PORT");
    for (typed, code) in [("alice-secret", 0), ("alice-secret\n", 0), ("alice-secret\r\n", 0), ("alice-secret\n\n", 1)] {
        let ran = probe(&stack, &url, &["--username", "alice@example.test", "--password-file", "-"], typed);
        assert_eq!(ran.code, code, "{typed:?}: {}", ran.out);
    }
    for empty in ["", "\n"] {
        let ran = probe(&stack, &url, &["--username", "alice@example.test", "--password-file", "-"], empty);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        assert!(ran.err.contains("--password-file -: is empty"), "{}", ran.err);
    }
}

#[test]
fn bad_usage_is_2_with_nothing_on_standard_output_and_never_shows_a_password() {
    let stack = Stack::get();
    let good = url(&stack, "smtp", "SUBMISSION_PORT");
    let secret = leaks::password("in-the-open");
    let url = |form: &str| form.replace("PW", &secret);
    for (args, words) in [
        (vec![url("smtp://user:PW@localhost")], "--username and --password-file"),
        (vec![url("smtps://user:PW@localhost:465/path")], "--username and --password-file"),
        (vec![url("SMTP://PW@localhost")], "--username and --password-file"),
        (vec![url("user:PW@localhost:587")], "--username and --password-file"),
        (vec![url("smtp:user:PW@localhost")], "--username and --password-file"),
        (vec![url("http://user:PW@localhost")], "--username and --password-file"),
        (vec![good.clone(), "--password".into(), secret.clone()], "--password-file"),
        (vec![good.clone(), format!("--password={secret}")], "--password-file"),
        (vec![good.clone(), "--egress-proxy".into(), url("socks5://user:PW@localhost")], "MAILVERITY_EGRESS_PROXY"),
        (vec!["localhost:587".into()], "did you mean smtp://localhost:587?"),
        (vec![url("imap://user:PW@localhost")], "--username and --password-file"),
        (vec!["imap://localhost:0".into()], "the URL: "),
        (vec!["ftp://localhost".into()], "the URL: "),
        (vec![good.clone(), "--security".into(), "Maybe".into()], "--security"),
        (vec![good.clone(), "--mechanism".into(), "PLAIN".into()], "--username"),
        (vec![good.clone(), "--ca-file".into(), "/nowhere".into()], "--ca-file /nowhere: "),
        (vec![good.clone(), "--ca-file".into(), "/dev/null".into()], "--ca-file /dev/null: holds no PEM certificate"),
        (vec![good.clone(), "--level".into(), "Deliver".into()], "--to: "),
        (vec![good.clone(), "--to".into(), "inbound@example.test".into()], "--level Deliver"),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ran = run(&[&["probe"], &args[..]].concat(), "");
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
    }
    // Nor do manifests, whose faults are quoted.
    for field in
        ["url: smtp://user:PW@localhost", "host: user:PW@localhost", "host: a.test\n  alternates: [{host: \"user:PW@b.test\"}]"]
    {
        let manifest = server("relay", &json!({})).replace("spec: {}", &format!("spec:\n  {}", url(field)));
        let ran = run(&["check", "-f", "-"], &manifest);
        assert_eq!(ran.code, 2, "{}", ran.out);
    }
}

/// A `MailServer` as YAML.
fn server(name: &str, spec: &Value) -> String {
    format!(
        "---\napiVersion: mailverity.dev/v1alpha1\nkind: MailServer\nmetadata: {{name: {name}, namespace: mail}}\nspec: {spec}\n"
    )
}

fn secret(name: &str, user: &str, password: &str) -> String {
    let data = json!({"username": user, "password": password});
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: mail}}\nstringData: {data}\n")
}

fn bundle(kind: &str, part: &str, pem: &[u8]) -> String {
    let data = json!({"ca.crt": String::from_utf8_lossy(pem)});
    format!("---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: ca, namespace: mail}}\n{part}: {data}\n")
}

#[tokio::test]
async fn a_live_check_takes_secrets_and_bundles_from_the_files() {
    let (stack, folder) = (Stack::get(), Folder::new());
    let (user, password) = account(&stack, "files").await;
    let ca = |kind: &str| json!({"kind": kind, "name": "ca"});
    let spec = |kind: &str| {
        json!({"host": "localhost", "port": stack.port("SUBMISSION_PORT"), "tls": {"caRef": ca(kind)},
            "auth": {"type": "Password", "secretRef": {"name": "account"}}})
    };
    folder.file("account.yaml", secret("account", &user, &password));
    folder.file("ca.yaml", bundle("ConfigMap", "data", &stack.ca()) + &bundle("Secret", "stringData", &stack.ca()));
    let servers = server("by-config-map", &spec("ConfigMap")) + &server("by-secret", &spec("Secret"));
    let path = folder.file("servers.yaml", &servers);
    let whole = std::path::Path::new(&path).parent().unwrap().to_str().unwrap();
    let ran = run(&["check", "--live", "-f", whole, "-o", "json"], "");
    let found: Vec<Value> = ran.lines().into_iter().filter(|line| line["kind"] == "MailServer").collect();
    assert_eq!((ran.code, found.len()), (0, 2), "{}{}", ran.out, ran.err);
    for report in &found {
        assert_eq!((&report["result"], &report["file"]), (&"Verified".into(), &path.clone().into()), "{report:#}");
        assert!(stage(report, "AUTH").is_some());
    }

    // Alone, the same manifest lacks what it refers to.
    let ran = run(&["check", "--live", "-f", &path, "-o", "json"], "");
    let reasons: Vec<_> = ran.lines().iter().map(|line| line["reason"].as_str().unwrap().to_owned()).collect();
    assert_eq!((ran.code, reasons), (1, vec!["CABundleNotFound".to_owned(), "CABundleNotFound".to_owned()]));
}

#[tokio::test]
async fn a_live_check_goes_no_further_than_it_is_told() {
    let stack = Stack::get();
    let (user, password) = account(&stack, "level").await;
    let spec = json!({"url": url(&stack, "smtps", "SMTPS_PORT"), "tls": {"caRef": {"name": "ca"}},
        "auth": {"type": "Password", "secretRef": {"name": "account"}}, "sender": {"address": user},
        "test": {"to": "inbound@example.test"}, "verification": {"level": "Deliver"}});
    let manifest = server("relay", &spec) + &secret("account", &user, &password) + &bundle("ConfigMap", "data", &stack.ca());
    for (level, last) in [("Connect", "EHLO"), ("Authenticate", "AUTH"), ("Deliver", "DATA")] {
        let ran = run(&["check", "--live", "--level", level, "-f", "-", "-o", "json"], &manifest);
        let report = ran.lines().swap_remove(0);
        let stages: Vec<_> = report["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect();
        assert_eq!((ran.code, stages[stages.len() - 2..].to_vec()), (0, vec![last, "QUIT"]), "{report:#}");
    }
    // Postfix writes it as it takes the sender, before any answer.
    let sent = stack.log("POSTFIX_LOG", &[&format!("sasl_username={user}")]);
    assert_eq!(sent, 1, "only level Deliver sends");
}

#[test]
fn the_operators_guards_do_not_bind_a_person_at_a_shell() {
    // Loopback as a number, and a port that is none of mail's: the operator denies both.
    let stack = Stack::get();
    let url = format!("smtp://127.0.0.1:{}", stack.port("SUBMISSION_PORT"));
    let ran = probe(&stack, &url, &["--level", "Connect"], "");
    let report = ran.json();
    assert_eq!((ran.code, &report["result"]), (0, &"Verified".into()), "{report:#}");
    let spec = json!({"host": "127.0.0.1", "port": stack.port("SUBMISSION_PORT"), "tls": {"insecureSkipVerify": true}});
    let ran = run(&["check", "--live", "-f", "-"], &server("relay", &spec));
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
}

#[test]
fn the_sandbox_stands_for_a_server_that_cannot_be_reached_from_here() {
    // Its account, its certificate and its recipient, too: the files' own Secret is not the sandbox's.
    let spec = json!({"host": "smtp.corp.test", "tls": {"caRef": {"name": "corp-ca"}}, "sender": {"address": "alerts@corp.test"},
        "auth": {"type": "Password", "secretRef": {"name": "account"}}, "test": {"to": "ops@corp.test"},
        "verification": {"level": "Deliver"}});
    let manifest = server("relay", &spec) + &secret("account", "alerts@corp.test", &leaks::password("corp"));
    let ran = run(&["check", "--live", "--sandbox", "-f", "-", "-o", "json"], &manifest);
    let report = ran.lines().swap_remove(0);
    assert_eq!((ran.code, &report["result"]), (0, &"Verified".into()), "{report:#}");
    assert!(stage(&report, "DATA").is_some() && report["endpoint"].as_str().unwrap().starts_with("localhost:"), "{report:#}");
}

#[test]
fn a_running_probe_shows_its_password_to_no_process_list() {
    // promise 14
    let folder = Folder::new();
    let password = leaks::password("running");
    let file = folder.file("password", &password);
    for (source, input) in [(file.as_str(), ""), ("-", password.as_str())] {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("smtp://{}", silent.local_addr().unwrap());
        let args = ["probe", &url, "--username", "alice@example.test", "--password-file", source, "--timeout", "1m"];
        let mut child = start(&args, "/dev/null");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        // It has connected, so it has read its password before.
        let connection = silent.accept().unwrap();
        for entry in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{}/{entry}", child.id())).unwrap();
            assert!(entry != "cmdline" || String::from_utf8_lossy(&text).contains("alice@example.test"));
            leaks::none_in(entry, &String::from_utf8_lossy(&text));
        }
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        leaks::none_in("its output", &String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
        drop(connection);
    }
}

/// A server that says back all that it is told, and refuses it.
fn parrot(listener: &TcpListener) {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut out = stream.try_clone().unwrap();
    let mut say = |text: &str| out.write_all(text.as_bytes()).is_ok();
    say("220 parrot.test ESMTP\r\n");
    for line in BufReader::new(stream.take(1 << 20)).lines().map_while(Result::ok) {
        let reply = if line.starts_with("EHLO") {
            "250-parrot.test\r\n250 AUTH PLAIN LOGIN\r\n".to_owned()
        } else {
            format!("535 5.7.8 {line}\r\n")
        };
        if !say(&reply) {
            return;
        }
    }
}

#[test]
fn a_server_that_says_the_password_back_does_not_get_it_printed() {
    // promise 14: `run` searches all that is printed
    for form in ["text", "json", "yaml", "junit"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || parrot(&listener));
        let flags = ["--security", "None", "--allow-plaintext", "--username", "a@b.test", "--password-file", "-", "-o", form];
        let ran = run(&[&["probe", &url], &flags[..]].concat(), &leaks::password("echoed"));
        assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
        assert!(ran.out.contains("535 5.7.8") && ran.out.contains("AuthenticationFailed"), "{}", ran.out);
        server.join().unwrap();
    }
}
