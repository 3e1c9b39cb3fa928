//! The program as scripts see it: output and exit codes.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

pub fn run(arguments: &[&str], input: &str) -> Output {
    run_with(&[], arguments, input)
}

fn run_with(environment: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mailverity"))
        .envs(environment.iter().copied())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails early does not read what it is given.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn check(input: &str) -> (i32, String) {
    let output = run(&["check", "-f", "-"], input);
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

const SERVER: &str = "apiVersion: mailverity.dev/v1alpha1\nkind: MailServer\nmetadata: {name: relay}\nspec:\n";

#[test]
fn a_sound_manifest_is_0_and_a_bad_one_2_with_line_and_column() {
    let (code, text) = check(&format!("{SERVER}  host: smtp.corp.test\n"));
    assert_eq!((code, text.as_str()), (0, "1 object checked: 1 valid\n"));
    let (code, text) = check(&format!("{SERVER}  hots: smtp.corp.test\n"));
    assert_eq!(code, 2);
    assert!(
        text.contains("-:5:3: error: MailServer default/relay: spec.hots: is not a known field; did you mean host?"),
        "{text}"
    );
}

#[test]
fn a_time_zone_is_known_on_a_machine_that_lacks_it() {
    // A folder without a single zone would be passed by for the machine's own.
    let zones = std::env::temp_dir().join(format!("mailverity-zones-{}", std::process::id()));
    std::fs::create_dir_all(&zones).unwrap();
    std::fs::write(zones.join("Nowhere"), b"TZif").unwrap();
    let warned = |zone: &str| {
        let window = format!("  maintenance: [{{start: 0 22 * * SAT, duration: 1h, timeZone: {zone}}}]\n");
        let input = format!("{SERVER}  host: smtp.corp.test\n{window}");
        let output = run_with(&[("TZDIR", zones.to_str().unwrap())], &["check", "-f", "-"], &input);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap().contains("no such IANA time zone")
    };
    assert_eq!((warned("Europe/Zurich"), warned("Europe/Zurech")), (false, true));
    std::fs::remove_dir_all(&zones).unwrap();
}

#[test]
fn files_that_hold_nothing_of_ours_or_are_not_there_are_2() {
    assert_eq!(check("").0, 2);
    assert_eq!(check("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n").0, 2);
    assert_eq!(run(&["check", "-f", "/nowhere/at/all.yaml"], "").status.code(), Some(2));
    assert_eq!(run(&["check"], "").status.code(), Some(2));
}

#[test]
fn the_samples_and_the_demo_are_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
    let output = run(&["check", "-R", "-f", folder], "");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn completions_are_to_be_had_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(&["completions", shell], "");
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("mailverity"), "{shell}");
    }
}

#[test]
fn crds_are_printed_as_they_are_kept() {
    // In the order in which users meet the kinds.
    let users = ["mailservers", "emailprofiles", "roundtrippolicies", "mailreceivers", "actors"];
    let kept = users.into_iter().chain(["actortasks", "probereplies"]).map(|plural| {
        let path = format!("{}/crds/mailverity.dev_{plural}.yaml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    });
    let kept: Vec<_> = kept.collect();
    assert!(String::from_utf8(run(&["crds"], "").stdout).unwrap() == kept.join("---\n"));
}

fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_live_check_against_the_sandbox_finds_what_the_demo_promises_and_is_1() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo");
    let output = run(&["check", "--live", "--sandbox", "-f", folder, "-o", "json"], "");
    let lines = json_lines(&output);
    let reasons: Vec<_> = lines
        .iter()
        .filter(|line| line["kind"] == "MailServer")
        .map(|line| (line["name"].as_str().unwrap(), line["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        reasons,
        [
            ("relay", "Succeeded"),
            ("wrong-password", "AuthenticationFailed"),
            ("wrong-tls-mode", "WrongTLSMode"),
            ("unknown-ca", "CertificateUntrusted")
        ]
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("of-last-year"), "the password is in the output");
}

#[test]
fn one_wrong_password_is_tried_once_however_many_objects_have_it() {
    // promise 8, at a shell
    let server = |name: &str| {
        format!("---\n{}", SERVER.replace("relay", name))
            + "  host: localhost\n  port: 2587\n  tls: {insecureSkipVerify: true}\n  auth: {type: Password, allowPlaintext: true, secretRef: {name: s}}\n"
    };
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {username: demo@sandbox.test, password: of-last-year}\n";
    let output = run(&["check", "--live", "--sandbox", "-f", "-", "-o", "json"], &(server("a") + &server("b") + secret));
    let reasons: Vec<_> = json_lines(&output).iter().filter_map(|line| line["reason"].as_str().map(str::to_owned)).collect();
    assert_eq!(reasons, ["AuthenticationFailed", "CredentialHeld"]);
}

#[test]
fn a_probe_that_finds_nobody_is_1_and_a_bad_flag_2() {
    let output = run(&["probe", "smtp://localhost:1", "-o", "json"], "");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &report["reason"], &report["stage"]),
        (Some(1), &"ConnectionRefused".into(), &"TCP".into())
    );
    assert_eq!(run(&["probe", "smtp://localhost", "--timeout", "1h"], "").status.code(), Some(2));
    assert_eq!(run(&["probe", "smtp://localhost", "--password", "x"], "").status.code(), Some(2));
}

/// `check --live --sandbox` of these files.
fn practise(files: &[&str], input: &str) -> Output {
    let files: Vec<&str> = files.iter().flat_map(|file| ["-f", file]).collect();
    run(&[&["check", "--live", "--sandbox", "-o", "json"], &files[..]].concat(), input)
}

#[test]
fn a_laptop_without_a_cluster_and_a_mail_server_proves_a_mailbox_against_the_sandbox() {
    let manual = "nobody else can send to the sandbox: the mail is sent from here";
    let imap = "the sandbox has no IMAP: its POP3 stands for it";
    for (sample, notes) in [("imap", vec![imap]), ("pop3", vec![]), ("manual", vec![imap, manual])] {
        let sample = &format!("{}/deploy/samples/mailbox-{sample}.yaml", env!("CARGO_MANIFEST_DIR"));
        let output = practise(&[sample], "");
        let lines = json_lines(&output);
        let proof = lines.iter().find(|line| line["kind"] == "EmailProfile").unwrap();
        let result = (output.status.code(), proof["result"].as_str().unwrap(), proof["reason"].as_str().unwrap());
        assert_eq!(result, (Some(0), "Verified", "CodeReceived"), "{proof:#}");
        assert!(proof["stages"].as_array().unwrap().iter().any(|stage| stage["name"] == "Cleanup"), "{proof:#}");
        let told = proof["findings"].as_array().into_iter().flatten().map(|note| note["message"].as_str().unwrap());
        assert_eq!(told.filter(|told| told.contains("the sandbox")).collect::<Vec<_>>(), notes, "{proof:#}");
    }
}

#[test]
fn of_a_round_trip_the_server_is_checked_against_the_sandbox_and_the_rest_is_skipped_with_the_reason() {
    for (sample, why) in [("mailbox", "the sandbox answers no mail; "), ("receiver", "so only a cluster can prove it; ")] {
        let sample = &format!("{}/deploy/samples/round-trip-{sample}.yaml", env!("CARGO_MANIFEST_DIR"));
        let output = practise(&[sample], "");
        let lines = json_lines(&output);
        let trips: Vec<_> = lines.iter().filter(|line| line["kind"] == "RoundTripPolicy").collect();
        assert_eq!(output.status.code(), Some(0));
        assert!(!trips.is_empty());
        for trip in trips {
            assert_eq!((&trip["result"], &trip["sending"]["result"]), (&"Skipped".into(), &"Verified".into()), "{trip:#}");
            assert!(trip["message"].as_str().unwrap().contains(why), "{trip:#}");
            let sent = trip["sending"]["stages"].as_array().unwrap().iter().any(|stage| stage["name"] == "DATA");
            assert!(!sent, "{trip:#}");
        }
    }
}

const PROFILE: &str = "---\napiVersion: mailverity.dev/v1alpha1\nkind: EmailProfile\nmetadata: {name: box}\nspec:\n  address: demo@sandbox.test\n  protocol: POP3\n  server: {host: localhost, port: 2995, tls: {insecureSkipVerify: true}}\n  account: {type: Password, allowPlaintext: true, secretRef: {name: s}}\n";

#[test]
fn a_profile_at_localhost_is_the_sandboxs_as_it_is_written_and_a_server_that_is_bad_is_told() {
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {username: demo@sandbox.test, password: of-last-year}\n";
    // No server in the files, and a password that the sandbox does not know.
    let profile = format!("{PROFILE}  verification: {{senderRef: {{name: relay}}, timeout: 30s}}\n");
    let lines = json_lines(&practise(&["-"], &(profile.clone() + secret)));
    assert_eq!((&lines[0]["reason"], &lines[0]["stage"]), (&"AuthenticationFailed".into(), &"AUTH".into()), "{:#}", lines[0]);

    let output = practise(&["-"], &(format!("{SERVER}  hots: smtp.corp.test\n") + &profile));
    let lines = json_lines(&output);
    assert_eq!((output.status.code(), &lines[1]["reason"]), (Some(2), &"DependencyNotReady".into()), "{:#}", lines[1]);
    assert!(
        lines[1]["message"].as_str().unwrap().contains("MailServer default/relay: its manifest is not valid"),
        "{:#}",
        lines[1]
    );
}

#[test]
fn files_with_neither_a_server_nor_a_mailbox_have_nothing_to_check() {
    let output = run(&["check", "--live", "-f", "-"], "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(told, "mailverity: there is no MailServer, no EmailProfile and no RoundTripPolicy in these files\n");
}

#[test]
fn a_server_of_another_namespace_sends_only_where_its_owner_admits_the_namespace() {
    let server = SERVER.replace("{name: relay}", "{name: shared, namespace: mail}")
        + "  host: smtp.corp.test\n  sender: {address: alerts@corp.test}\n  usage: {recipientDomains: [corp.test]}\n  allowedNamespaces: {from: Selector, selector: {matchLabels: {mail-access: allowed}}}\n";
    let profile = PROFILE
        .replace("{name: box}", "{name: box, namespace: team}")
        .replace("demo@sandbox.test", "box@corp.test")
        .replace("host: localhost, port: 2995", "host: pop.corp.test")
        + "  verification: {senderRef: {name: shared, namespace: mail}, timeout: 30s}\n";
    for (label, reason) in [("allowed", "CodeReceived"), ("denied", "RefNotPermitted")] {
        let namespace =
            format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: team, labels: {{mail-access: {label}}}}}\n");
        let lines = json_lines(&practise(&["-"], &(server.clone() + &profile + &namespace)));
        assert_eq!(lines[1]["reason"], reason, "{:#}", lines[1]);
    }
}
