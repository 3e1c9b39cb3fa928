//! What comes of flags and answers. Each manifest is judged as the API server would.

use clap::Parser;
use mailverity::manifest::Judge;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    init: Init,
}

/// The manifest of a command line, and who answers.
fn made(args: &[&str], asks: Option<form::Ask<'_>>) -> Result<Value, String> {
    serde_yaml::from_str(&text(args, asks)?).map_err(|error| error.to_string())
}

/// The same as it is printed.
fn text(args: &[&str], asks: Option<form::Ask<'_>>) -> Result<String, String> {
    text_for(&Connect::to(Some("mail"), None, None), args, asks)
}

fn text_for(connect: &Connect, args: &[&str], asks: Option<form::Ask<'_>>) -> Result<String, String> {
    let line = Line::try_parse_from([&["init"], args].concat()).map_err(|error| error.to_string())?;
    let mut form = Form::new(asks);
    let draft = line.init.kind.draft(&mut form).map_err(|error| error.to_string())?;
    form.done().map_err(|error| error.to_string())?;
    draft.manifest(connect).map_err(|error| error.to_string())
}

const SERVER: &str = "ms --host smtp.a.example --sender alerts@a.example --name relay";
const PROFILE: &str = "emp --address box@a.example --sender relay";
const MICROSOFT: &str = "--login Microsoft365 --tenant-id t --client-id c";
const OWN: &str = "--login Custom --client-id c --token-url https://a.example/token";

/// What is printed for these words, with nobody to ask.
fn printed(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().flat_map(|words| words.split_whitespace()).collect();
    text(&words, None).unwrap()
}

fn refused(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().flat_map(|words| words.split_whitespace()).collect();
    text(&words, None).unwrap_err()
}

fn spec(printed: &str) -> Value {
    serde_yaml::from_str::<Value>(printed).unwrap()["spec"].take()
}

#[test]
fn whatever_an_account_is_logged_in_by_the_api_server_takes_the_manifest() {
    let judge = Judge::new().unwrap();
    let (app, kept) = ("--client-secret app", "--token-secret kept");
    let federated = "--client workloadidentity --client-id robot@p.iam.gserviceaccount.com --audience //iam.googleapis.com/x";
    let code = "--device-url https://a.example/device";
    let mut all = Vec::new();
    for (login, rest) in [
        (MICROSOFT, vec![app]),
        (MICROSOFT, vec!["--client Certificate --cloud China", app]),
        (MICROSOFT, vec!["--client WorkloadIdentity"]),
        (MICROSOFT, vec!["--grant DeviceCode", kept]),
        (MICROSOFT, vec!["--grant RefreshToken", kept]),
        (MICROSOFT, vec!["--grant RefreshToken --client Secret --cloud USGov", kept, app]),
        ("--login Google", vec![app]),
        ("--login Google", vec![federated]),
        ("--login Google --client-id c", vec!["--grant RefreshToken", kept, app]),
        (OWN, vec![app]),
        (OWN, vec!["--client Certificate --scope a,b --scope c", app]),
        (OWN, vec!["--client WorkloadIdentity --audience x"]),
        (OWN, vec!["--grant DeviceCode --scope offline_access", kept, code]),
        (OWN, vec!["--grant RefreshToken --auth-url https://a.example/page", kept]),
        (OWN, vec!["--grant RefreshToken --client Certificate", kept, app]),
    ] {
        all.push([&[SERVER, login], rest.as_slice()].concat());
        all.push([&[PROFILE, "--host imap.a.example", login], rest.as_slice()].concat());
        if login != OWN && !rest.iter().any(|words| words.contains("--cloud")) {
            all.push([&[PROFILE, "--protocol POP3", login], rest.as_slice()].concat());
        }
    }
    let graph = "--protocol MicrosoftGraph --tenant-id t --client-id c";
    for rest in
        ["--client-secret app", "--client Certificate --client-secret app", "--client WorkloadIdentity --username u@a.example"]
    {
        all.push(vec![PROFILE, graph, rest]);
    }
    let gmail = "--protocol gmailapi";
    all.push(vec![PROFILE, gmail, "--client-id 1", app, "--username owner@a.example"]);
    all.push(vec![PROFILE, gmail, federated]);
    all.push(vec![PROFILE, gmail, "--grant RefreshToken --client-id 1", app, kept]);
    for words in all {
        let printed = printed(&words);
        let object: Value = serde_yaml::from_str(&printed).unwrap();
        assert_eq!(judge.object(&object), [], "{words:?}\n{printed}");
    }
}

#[test]
fn an_account_with_oauth2_is_written_as_its_provider_wants_it() {
    let microsoft = spec(&printed(&[SERVER, MICROSOFT, "--client-secret app --username other@a.example"]));
    let expected = json!({"type": "OAuth2", "username": "other@a.example", "oauth2": {"provider": "Microsoft365",
        "grant": "ClientCredentials", "tenantID": "t", "clientID": "c", "client": {"secretRef": {"name": "app"}}}});
    assert_eq!(microsoft["auth"], expected);
    // Their servers are known by name, and whom a service account acts for is no user name.
    let google = spec(&printed(&[PROFILE, "--login google --client-secret robot"]));
    let expected = json!({"address": "box@a.example", "protocol": "IMAP", "provider": "Google",
        "account": {"type": "OAuth2", "oauth2": {"provider": "Google", "grant": "ServiceAccountJWT", "subject": "box@a.example",
            "client": {"serviceAccountKeyRef": {"name": "robot"}}}},
        "verification": {"senderRef": {"name": "relay"}}});
    assert_eq!(google, expected);
    let own =
        spec(&printed(&[SERVER, OWN, "--grant RefreshToken --token-secret kept --auth-url https://a.example/page --scope a,b"]));
    let expected = json!({"provider": "Custom", "grant": "RefreshToken", "clientID": "c", "tokenURL": "https://a.example/token",
        "authURL": "https://a.example/page", "scopes": ["a", "b"], "tokenSecretName": "kept"});
    assert_eq!(own["auth"]["oauth2"], expected);
}

#[test]
fn the_servers_of_a_provider_are_left_to_it_only_in_its_public_cloud() {
    let microsoft = [PROFILE, MICROSOFT, "--client-secret app"];
    let public = spec(&printed(&[&microsoft[..], &["--cloud public"]].concat()));
    assert_eq!((&public["provider"], &public["server"]), (&"Microsoft365".into(), &Value::Null));
    assert_eq!(public["account"]["oauth2"]["cloud"], Value::Null);
    for cloud in ["China", "USGov"] {
        let flag = format!("--cloud {cloud}");
        let words = [&microsoft[..], &[flag.as_str()]].concat();
        assert_eq!(refused(&words), "there is nobody to ask: say --host");
        let named = spec(&printed(&[&words[..], &["--host imap.a.example"]].concat()));
        assert_eq!((&named["provider"], &named["server"]), (&Value::Null, &json!({"host": "imap.a.example"})));
        assert_eq!(named["account"]["oauth2"]["cloud"], cloud);
    }
    // A person is asked for the cloud once, before the host.
    let asked = std::cell::RefCell::new(Vec::new());
    let answers = |question: &str, fallback: &str| {
        asked.borrow_mut().push(question.split([':', ';']).next().unwrap_or_default().to_owned());
        let answer = match question {
            question if question.starts_with("Microsoft's cloud") => "usgov",
            question if question.starts_with("Name or IP address") => "outlook.office365.us",
            _ => fallback,
        };
        Ok(answer.to_owned())
    };
    let words: Vec<&str> = microsoft.iter().flat_map(|words| words.split_whitespace()).collect();
    let profile = made(&words, Some(&answers)).unwrap();
    assert_eq!(profile["spec"]["server"]["host"], "outlook.office365.us");
    let first = ["Protocol", "Microsoft's cloud", "Name or IP address of the server that has it"];
    assert_eq!(asked.borrow()[..3], first);
    assert_eq!(asked.borrow().iter().filter(|question| *question == first[1]).count(), 1, "{asked:?}");
}

#[test]
fn a_secret_in_the_place_of_its_name_is_refused_and_not_shown() {
    const PASTED: &str = "aB8~Q3v.xYz";
    let pasted = |flag: &str| format!("{flag} {PASTED}");
    for (flag, words) in [
        ("--secret", vec![SERVER]),
        ("--secret", vec![PROFILE, "--host imap.a.example"]),
        ("--client-secret", vec![SERVER, MICROSOFT]),
        ("--client-secret", vec![PROFILE, "--protocol MicrosoftGraph --tenant-id t --client-id c"]),
        ("--token-secret", vec![SERVER, MICROSOFT, "--grant DeviceCode"]),
        ("--certificate", vec!["mr --domain in.a.example"]),
    ] {
        let said = refused(&[&words[..], &[&pasted(flag)]].concat());
        assert_eq!(said, format!("{flag} is the name of a Secret; its value is not wanted here"));
        // At a terminal a flag fails as well, and an answer is asked for again.
        let tries = std::cell::Cell::new(0);
        let answers = |question: &str, fallback: &str| {
            assert!(!question.contains(PASTED));
            let is_secret = question.lines().last().unwrap_or_default().starts_with("Secret");
            tries.set(tries.get() + i32::from(is_secret));
            Ok(match tries.get() {
                1 if is_secret => PASTED,
                _ if is_secret => "app",
                _ => fallback,
            }
            .to_owned())
        };
        let line: Vec<&str> = words.iter().flat_map(|words| words.split_whitespace()).collect();
        let printed = text(&line, Some(&answers)).unwrap();
        assert!(printed.contains("name: app") || printed.contains("tokenSecretName: app"), "{printed}");
        assert!(tries.get() == 2 && !printed.contains(PASTED), "{printed}");
        assert!(!text(&[&line[..], &[flag, PASTED]].concat(), Some(&answers)).unwrap_err().contains(PASTED));
    }
}

#[test]
fn commas_and_blanks_between_scopes_and_domains_leave_none_empty() {
    let own = ["ms", "--host", "a", "--sender", "a@a.example", "--login", "Custom", "--client-id", "c", "--client-secret", "app"];
    let own = [&own[..], &["--token-url", "https://a.example/token"]].concat();
    let scopes = |said: &[&str]| {
        let made = made(&[&own[..], said].concat(), None).unwrap();
        made["spec"]["auth"]["oauth2"]["scopes"].clone()
    };
    assert_eq!(scopes(&["--scope", "a,", "--scope", "b c"]), json!(["a", "b", "c"]));
    assert_eq!(scopes(&["--scope", " , "]), Value::Null);
    let receiver = made(&["mr", "--domain", "in.a.example, ,in.b.example"], None).unwrap();
    assert_eq!(receiver["spec"]["domains"], json!(["in.a.example", "in.b.example"]));
    assert_eq!(made(&["mr", "--domain", ","], None).unwrap_err(), "there is nobody to ask: say --domain");
}

#[test]
fn commands_name_the_cluster_that_was_named() {
    let connect = Connect::to(Some("mail"), Some("prod eu"), Some("/home/me/prod.yaml"));
    let words: Vec<&str> = SERVER.split_whitespace().chain(["--secret", "relay"]).collect();
    let printed = text_for(&connect, &words, None).unwrap();
    let place = "-n mail --context 'prod eu' --kubeconfig /home/me/prod.yaml";
    for command in [
        format!("#   kubectl {place} create secret generic relay "),
        "&& kubectl --context 'prod eu' --kubeconfig /home/me/prod.yaml apply -f THIS.yaml\n".to_owned(),
        format!("# And: kubectl mail {place} wait mailserver/relay\n"),
    ] {
        assert!(printed.contains(&command), "{command}\n{printed}");
    }
}

#[test]
fn a_mailbox_by_an_api_has_no_server_and_no_account() {
    let graph = spec(&printed(&[PROFILE, "--protocol MicrosoftGraph --tenant-id t --client-id c --client-secret app"]));
    let expected = json!({"address": "box@a.example", "protocol": "MicrosoftGraph",
        "graph": {"tenantID": "t", "clientID": "c", "client": {"secretRef": {"name": "app"}}},
        "verification": {"senderRef": {"name": "relay"}}});
    assert_eq!(graph, expected);
    let consent = "--protocol GmailAPI --grant RefreshToken --client-id c --client-secret app --token-secret kept";
    let gmail = spec(&printed(&[PROFILE, consent]));
    assert_eq!(gmail["gmail"], json!({"clientID": "c", "client": {"secretRef": {"name": "app"}}, "tokenSecretName": "kept"}));
}

#[test]
fn above_a_manifest_stands_what_else_is_to_be_done() {
    let comments = |words: &[&str]| {
        let printed = printed(words);
        let comments = printed.lines().take_while(|line| line.starts_with('#')).map(str::to_owned);
        comments.filter(|line| !line.starts_with("# Then: ")).collect::<Vec<_>>()
    };
    let secret = "#   kubectl -n mail create secret generic app --from-file=clientSecret=...";
    assert_eq!(
        comments(&[SERVER, MICROSOFT, "--client-secret app"]),
        [
            "# The application's client secret, in a file, so that no history has it, and no newline at its end (printf %s):",
            secret,
            "# And: kubectl mail -n mail wait mailserver/relay"
        ]
    );
    assert_eq!(
        comments(&[SERVER, MICROSOFT, "--grant DeviceCode --token-secret kept"]),
        [
            "# And, for a person to sign in with a code; the operator, started with --token-secrets, makes Secret kept:",
            "#   kubectl mail -n mail login mailserver/relay"
        ]
    );
    assert_eq!(
        comments(&[PROFILE, "--protocol GmailAPI --grant RefreshToken --client-id c --client-secret app --token-secret kept"])
            [1..],
        [
            secret,
            "# And, for a person to consent in a browser, by which the refresh token comes to Secret kept:",
            "#   kubectl mail -n mail login emailprofile/box"
        ]
    );
    for (words, command) in [
        ("--client Certificate --client-secret app", "create secret tls app --cert=... --key=..."),
        ("--client WorkloadIdentity", "create serviceaccount mailverity-mail"),
    ] {
        assert_eq!(comments(&[SERVER, MICROSOFT, words])[1], format!("#   kubectl -n mail {command}"));
    }
    let key = comments(&[PROFILE, "--login Google --client-secret robot"]);
    assert_eq!(key[1], "#   kubectl -n mail create secret generic robot --from-file=key.json=...");
    // Nobody can be led to a page that is not known.
    let token = comments(&[SERVER, OWN, "--grant RefreshToken --token-secret kept"]);
    let command = "#   kubectl -n mail create secret generic kept --from-file=refresh_token=...";
    assert_eq!(token[1..], [command, "# And: kubectl mail -n mail wait mailserver/relay"]);
}

#[test]
fn what_a_way_to_log_in_needs_is_told_and_what_it_has_no_use_for_is_refused() {
    for (words, missing) in [
        ("ms --host a --sender a@a.example --login Microsoft365", "--tenant-id, --client-secret, --client-id"),
        ("ms --host a --sender a@a.example --login Google", "--client-secret"),
        ("ms --host a --sender a@a.example --login Google --client WorkloadIdentity", "--audience, --client-id"),
        (
            "ms --host a --sender a@a.example --login Custom --grant DeviceCode",
            "--token-url, --device-url, --client-id, --token-secret",
        ),
        ("emp --protocol MicrosoftGraph", "--address, --tenant-id, --client-secret, --client-id, --sender"),
        ("emp --protocol GmailAPI --manual", "--address, --client-secret, --client-id"),
        ("emp --login Google", "--address, --client-secret, --sender"),
    ] {
        assert_eq!(refused(&[words]), format!("there is nobody to ask: say {missing}"), "{words}");
    }
    for (words, left) in [
        (vec![SERVER, "--secret s --grant DeviceCode --client-id c"], "--grant, --client-id"),
        (vec![SERVER, MICROSOFT, "--client-secret app --secret s --audience x"], "--secret, --audience"),
        (
            vec![PROFILE, "--protocol GmailAPI --client-secret s --client-id c --host imap.a.example --login Google"],
            "--host, --login",
        ),
        (vec![PROFILE, MICROSOFT, "--client-secret app --port 993"], "--port"),
    ] {
        assert_eq!(refused(&words), format!("there is no use for {left} beside what else is said"));
    }
    assert_eq!(refused(&[SERVER, "--login Google --grant DeviceCode"]), "DeviceCode is none of ServiceAccountJWT, RefreshToken");
    assert_eq!(refused(&[PROFILE, "--protocol MicrosoftGraph --grant DeviceCode"]), "DeviceCode is none of ClientCredentials");
}

#[test]
fn each_question_follows_from_the_answers_before_it() {
    let asked = std::cell::RefCell::new(Vec::new());
    let answers = |question: &str, fallback: &str| {
        asked.borrow_mut().push(question.split([':', ';', ',', '(']).next().unwrap_or_default().trim().to_owned());
        let answer = match question {
            question if question.starts_with("Address of the mailbox") => "box@a.example",
            question if question.starts_with("Protocol") => "gmailapi",
            question if question.starts_with("How access tokens are asked for") => "RefreshToken",
            question if question.starts_with("Secret with") => "app",
            question if fallback.is_empty() => question.split_whitespace().last().unwrap_or_default(),
            _ => fallback,
        };
        Ok(answer.to_owned())
    };
    let profile = made(&["emp", "--sender", "relay"], Some(&answers)).unwrap();
    let questions = [
        "Address of the mailbox",
        "Protocol",
        "How access tokens are asked for",
        "Secret with the client secret",
        "Application's id",
        "Secret that keeps the refresh token",
        "Name of the object",
    ];
    assert_eq!(*asked.borrow(), questions);
    assert_eq!(profile["spec"]["gmail"]["tokenSecretName"], "token");
}

#[test]
fn flags_alone_make_a_manifest() {
    let server = made(&["ms", "--host", "smtp.a.example", "--sender", "a@a.example", "--secret", "relay"], None).unwrap();
    let expected = json!({
        "apiVersion": "mailverity.dev/v1alpha1", "kind": "MailServer", "metadata": {"name": "smtp-a-example", "namespace": "mail"},
        "spec": {"host": "smtp.a.example", "sender": {"address": "a@a.example"}, "auth": {"type": "Password", "secretRef": {"name": "relay"}}},
    });
    assert_eq!(server, expected);
    let receiver =
        made(&["mr", "--domain", "in.a.example", "--domain", "in.b.example", "--expected-mx", "mx.a.example"], None).unwrap();
    assert_eq!(receiver["spec"], json!({"domains": ["in.a.example", "in.b.example"], "expectedMX": "mx.a.example"}));
}

#[test]
fn what_is_missing_is_asked_for_where_somebody_answers() {
    let answers = |question: &str, fallback: &str| {
        let answer = if question.starts_with("Address of the mailbox") {
            "box@a.example"
        } else if question.starts_with("Secret") {
            "box"
        } else {
            fallback
        };
        Ok(answer.to_owned())
    };
    let profile = made(&["emp", "--host", "imap.a.example", "--sender", "relay"], Some(&answers)).unwrap();
    let expected = json!({
        "address": "box@a.example", "protocol": "IMAP", "server": {"host": "imap.a.example"},
        "account": {"type": "Password", "secretRef": {"name": "box"}}, "verification": {"senderRef": {"name": "relay"}},
    });
    assert_eq!((&profile["spec"], &profile["metadata"]["name"]), (&expected, &"box".into()));
}

#[test]
fn what_is_missing_is_told_all_at_once_where_nobody_answers() {
    let missing = made(&["rtp", "--to", "echo@b.example"], None).unwrap_err();
    assert_eq!(missing, "there is nobody to ask: say --answers-to");
    let missing = made(&["emp"], None).unwrap_err();
    assert_eq!(missing, "there is nobody to ask: say --address, --host, --secret, --sender");
    assert!(made(&["ms", "--security", "Maybe"], None).unwrap_err().contains("possible values: None, StartTLS, TLS"));
}
