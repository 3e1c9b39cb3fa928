//! Each warning about a policy, and that there is none where none is due.

use super::super::tests::said;

/// A sound policy; `change` puts one text in place of another.
fn spec(change: (&str, &str)) -> String {
    let sound = "{serverRef: {name: relay}, to: echo@p.se, message: {body: please answer this mail}, interval: 15m, timeout: 10m, receive: {receiverRef: {name: inbound}}}";
    assert!(sound.contains(change.0), "{change:?}");
    sound.replacen(change.0, change.1, 1)
}

/// An object of ours, to stand behind the policy.
fn object(kind: &str, name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: mailverity.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

fn server(sender: &str) -> String {
    object("MailServer", "relay", "default", &format!("{{host: smtp.b.se{sender}}}"))
}

const SENDER: &str = ", sender: {address: alerts@b.se}";

fn receiver() -> String {
    object(
        "MailReceiver",
        "inbound",
        "default",
        "{domains: [in.b.se], expectedMX: mx.b.se, listener: {allowedSources: [192.0.2.0/24]}}",
    )
}

const MANUAL: &str = "{address: box@b.se, protocol: IMAP, server: {host: imap.b.se}, account: {type: Password, secretRef: {name: s}}, verification: {mode: Manual}}";

/// A profile, without the note on its Secret.
fn profile() -> String {
    object("EmailProfile", "box", "default", MANUAL)
        + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {username: a@b.se, password: x}\n"
}

const BY_PROFILE: (&str, &str) = ("receiverRef: {name: inbound}", "profileRef: {name: box}");

#[track_caller]
fn one(change: (&str, &str), more: &str, words: &str) {
    let said = said("RoundTripPolicy", &spec(change), more);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains(words), "{}", said[0]);
}

#[track_caller]
fn none(change: (&str, &str), more: &str) {
    assert_eq!(said("RoundTripPolicy", &spec(change), more), [""; 0]);
}

#[test]
fn a_sound_policy_gets_no_warning() {
    none(("echo", "echo"), "");
    none(("echo", "echo"), &(server(SENDER) + &receiver()));
    none(BY_PROFILE, &profile());
}

#[test]
fn example_domains_are_said() {
    one(("p.se", "partner.example"), "", "4 spec.to: partner.example is an example domain");
    one(("to:", "from: a@c.example, to:"), "", "spec.from: c.example is an example domain");
}

#[test]
fn an_out_of_office_reply_that_comes_once_in_days_is_said_where_every_probe_has_the_same_sender() {
    let often = "interval: 15m, timeout: 10m, receive: {profileRef: {name: box}}";
    let (from, absent) = ("interval: 15m, timeout: 10m, receive: {receiverRef: {name: inbound}}", "expect: OutOfOffice, ");
    one((from, &format!("{absent}{often}")), "", "spec.interval: an out-of-office reply goes to each sender once in days");
    none((from, &format!("{absent}{}", often.replace("15m", "168h"))), "");
    // A receiver gives each probe an address of its own.
    none((from, &format!("{absent}{from}")), "");
    let said = said("RoundTripPolicy", &spec((from, &format!("{absent}envelopeFrom: notify@in.b.se, {from}"))), "");
    assert!(said.len() == 2 && said[0].contains("each 15m, would time out"), "{said:#?}");
}

#[test]
fn a_body_that_no_out_of_office_reply_quotes_is_said() {
    let change = ("interval", "expect: OutOfOffice, match: {containsBody: true}, interval");
    one(change, "", "spec.match.containsBody: an out-of-office reply quotes no body");
}

#[test]
fn an_answer_of_which_nothing_is_asked_is_said() {
    let nothing = "match: {sameSender: false, containsSubject: false, containsBody: false}, interval";
    one(("interval", nothing), "", "spec.match: nothing is asked of an answer");
    let away = "expect: OutOfOffice, match: {sameSender: false, containsSubject: false}, interval";
    one(("interval", away), "", "spec.match: nothing is asked of an answer");
    none(("interval", &nothing.replace("sameSender", "senders: ['@p.se'], sameSender")), "");
    none(("interval", &nothing.replace("containsSubject: false, ", "")), "");
    // Our own mail that is handed on is known by our From.
    none(("interval", &format!("expect: Redirect, {nothing}")), "");
}

#[test]
fn a_body_that_other_mails_hold_by_chance_is_said() {
    one(("please answer this mail", "hi there"), "", "spec.message.body: has 7 visible characters");
    one(("please answer this mail", "'> > >>> | >'"), "", "spec.message.body: has 0 visible characters");
    none(("{body: please answer this mail}", "{body: hello}, match: {containsBody: false}"), "");
}

#[test]
fn times_that_a_mail_or_a_budget_does_not_keep_are_said() {
    one(("timeout: 10m", "timeout: 59s"), "", "spec.timeout: a mail may well take longer than 59s");
    none(("timeout: 10m", "timeout: 1m"), "");
    one(("interval: 15m, timeout: 10m", "interval: 4m, timeout: 3m"), "", "spec.interval: 15 mails an hour to echo@p.se");
    none(("interval: 15m, timeout: 10m", "interval: 5m, timeout: 4m"), "");
}

#[test]
fn a_from_of_another_domain_than_the_servers_is_said() {
    let masked = ("to:", "from: office@c.se, to:");
    one(masked, &server(SENDER), "spec.from: the MailServer sends as b.se: it may refuse c.se (SenderRejected)");
    none(("to:", "from: office@B.se, to:"), &server(SENDER));
    none(masked, "");
}

#[test]
fn a_server_that_is_missing_or_cannot_send_is_said() {
    one(("echo", "echo"), &server(""), "spec.serverRef: the MailServer has no sender");
    one(("name: relay", "name: relai"), &server(SENDER), "it has to be in the cluster; did you mean relay?");
    let default = ("serverRef: {name: relay}, ", "");
    one(default, &server(SENDER), "no MailServer of namespace default among these files has the annotation");
    none(default, "");
    let annotated = server(SENDER).replace("name: relay", "annotations: {mailverity.dev/is-default-server: 'true'}, name: relay");
    none(default, &annotated);
    let elsewhere = server(SENDER).replace("namespace: default", "namespace: mail");
    one(("name: relay", "name: relay, namespace: mail"), &elsewhere, "has to admit default (RefNotPermitted)");
}

#[test]
fn a_probe_that_would_answer_itself_is_said() {
    one(("echo@p.se", "Alerts@b.se"), &server(SENDER), "spec.to: is the sender of the MailServer, too");
    let said = said("RoundTripPolicy", &spec(BY_PROFILE).replace("echo@p.se", "box@b.se"), &profile());
    assert!(said.len() == 1 && said[0].contains("spec.to: is the address of the EmailProfile, too"), "{said:#?}");
}

#[test]
fn where_answers_cannot_come_to_is_said() {
    one(("name: inbound", "name: inbond"), &receiver(), "MailReceiver default/inbond is not among these files");
    let elsewhere = profile()
        .replace("name: box, namespace: default", "name: box, namespace: mail")
        .replace("{name: s}\nstring", "{name: s, namespace: mail}\nstring");
    let there = ("receiverRef: {name: inbound}", "profileRef: {name: box, namespace: mail}");
    one(there, &elsewhere, "EmailProfile mail/box is for its own namespace only");
}

#[test]
fn an_envelope_sender_without_the_probes_id_is_said() {
    one(("to:", "envelopeFrom: notify@in.b.se, to:"), "", "spec.envelopeFrom: without it each probe has an address of its own");
    one(("to:", "envelopeFrom: notify+x@in.b.se, to:"), &receiver(), "without it each probe has an address of its own");
    one(("to:", "envelopeFrom: box@in.b.se, to:"), &receiver(), "takes mail for notify@ its domains only, not for box@in.b.se");
    let said = said("RoundTripPolicy", &spec(BY_PROFILE).replace("to:", "envelopeFrom: alias@b.se, to:"), &profile());
    assert!(
        said.len() == 1 && said[0].contains("answers go to alias@b.se, and the mailbox that is read is that of box@b.se"),
        "{said:#?}"
    );
}

#[test]
fn windows_that_cannot_be_read_are_said() {
    one(("to:", "maintenance: [{start: 0 25 * * SAT, duration: 1h}], to:"), "", "spec.maintenance: maintenance[0]");
}
