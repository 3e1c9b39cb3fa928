//! `kubectl mail list`.

use serde_json::{Value, json};

use super::{mail, mail_as, user};
use crate::{
    policies::policy,
    spec,
    support::{cluster::Cluster, stack::Stack},
};

/// The columns of each line of a table.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[tokio::test]
async fn what_there_is_is_listed_filtered_and_sorted_by_who_may_view() {
    let (stack, cluster) = (Stack::get(), Cluster::new("plugin-list").await);
    cluster.ca(&stack.ca()).await;
    let _operator = cluster.operator(&[]).await;
    cluster.server("relay", spec(&stack, "SMTP_PORT", "StartTLS", json!({"displayName": "The office"}))).await;
    cluster.condition("relay", "Ready", "True", "Succeeded").await;
    cluster.server("broken", spec(&stack, "SMTP_PORT", "StartTLS", json!({"port": 1}))).await;
    cluster.condition("broken", "Ready", "False", "ConnectionRefused").await;
    let receive = json!({"profileRef": {"name": "nobody"}});
    cluster.policy("echo", policy(json!({"to": "echo@remote.test", "receive": receive, "suspend": true}))).await;
    cluster.policy_condition("echo", "Suspended", "True", "Suspended").await;

    let viewer = user(&cluster, "mail-view").await;
    let list = |args: &[&str]| {
        let ran = mail_as(&cluster, &viewer, &[&["ls"], args].concat());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        ran.out
    };
    let table = list(&["--sort", "kind"]);
    println!("{table}");
    let port = format!("localhost:{}", stack.port("SMTP_PORT"));
    let rows: Vec<Vec<&str>> = cells(&table).into_iter().map(|mut row| row.drain(..6).collect()).collect();
    assert_eq!(
        rows,
        [
            ["KIND", "NAME", "ADDRESS", "STATE", "READY", "REASON"],
            ["MailServer", "broken", "localhost:1", "Active", "False", "ConnectionRefused"],
            ["MailServer", "relay", &port, "Active", "True", "Succeeded"],
            ["RoundTripPolicy", "echo", "echo@remote.test", "Suspended", "-", "Suspended"],
        ]
    );
    assert_eq!(
        list(&["-o", "name", "--sort", "kind", "--filter", "reason=!REFUSED&s"]),
        "mailserver.mailverity.dev/relay\nroundtrippolicy.mailverity.dev/echo\n"
    );
    assert_eq!(
        list(&["ms", "-o", "name", "--filter", "address=localhost", "--filter", "ready=true"]),
        "mailserver.mailverity.dev/relay\n"
    );
    assert_eq!(list(&["-o", "name", "--filter", "title=office"]), "mailserver.mailverity.dev/relay\n");

    // A request is no edit; a new spec is one, and is told with who wrote it.
    super::mail(&cluster, &["verify", "ms/relay"]);
    let edited = "mailserver.mailverity.dev/broken\nmailserver.mailverity.dev/relay\n";
    assert_eq!(list(&["ms", "-o", "name"]), edited, "the last edit comes first if nothing else is said");
    assert_eq!(list(&["ms", "-o", "name", "--sort", "edited"]), edited);
    let wide = list(&["-o", "wide", "--filter", "name=relay"]);
    let row = wide.lines().nth(1).unwrap();
    assert!(row.contains("   The office   tests    20"), "{wide}");
    assert_eq!(cells(&list(&["--edited-within", "hour"])).len(), 4);

    // As they are stored.
    let json: Value = serde_json::from_str(&list(&["rtp", "-o", "json"])).unwrap();
    assert_eq!(
        (&json["items"][0]["kind"], &json["items"][0]["spec"]["to"]),
        (&"RoundTripPolicy".into(), &"echo@remote.test".into())
    );
    assert!(json["items"][0]["metadata"]["managedFields"].is_null());

    // A viewer of one namespace may not look into all.
    let ran = mail_as(&cluster, &viewer, &["list", "-A"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("cannot list resource"), "{}", ran.err);
    let all = mail(&cluster, &["list", "-A", "--filter", &format!("namespace={}", cluster.namespace)]);
    assert_eq!(cells(&all.out).len(), 4, "{}", all.out);
    assert!(all.out.starts_with("NAMESPACE "), "{}", all.out);
}

#[tokio::test]
async fn nothing_is_no_failure_and_an_unknown_column_is() {
    let cluster = Cluster::new("plugin-list-none").await;
    let ran = mail(&cluster, &["list"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err), (0, "", format!("Nothing found in namespace {}.\n", cluster.namespace)));
    assert!(mail(&cluster, &["list", "-o", "yaml"]).out.contains("items: []"));
    let ran = mail(&cluster, &["list", "--filter", "port=25"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("port is no column: namespace, kind, name, address"), "{}", ran.err);
}
