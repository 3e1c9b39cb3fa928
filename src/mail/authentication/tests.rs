use proptest::prelude::*;

use super::*;

/// A mailbox of the company's own.
fn corp() -> Own {
    Own::new("corp.example", &["imap.corp.example"])
}

#[track_caller]
fn found(own: &Own, headers: &[&str]) -> [Option<String>; 3] {
    let Results { spf, dkim, dmarc } = read(headers.iter().copied(), own);
    [spf, dkim, dmarc]
}

#[track_caller]
fn finds(own: &Own, headers: &[&str], [spf, dkim, dmarc]: [&str; 3]) {
    let word = |text: &str| Some(text.to_owned()).filter(|text| text != "-");
    assert_eq!(found(own, headers), [word(spf), word(dkim), word(dmarc)]);
}

#[test]
fn gmail_is_read() {
    let header = "mx.google.com;\r\n       dkim=pass header.i=@corp.example header.s=s1 header.b=CHJ1fVli;\r\n       arc=pass (i=1);\r\n       spf=pass (google.com: domain of alerts@corp.example designates 192.0.2.10 as permitted sender) smtp.mailfrom=alerts@corp.example;\r\n       dmarc=pass (p=NONE sp=QUARANTINE dis=NONE) header.from=corp.example";
    finds(&Own::new("gmail.com", &["imap.gmail.com"]), &[header], ["pass", "pass", "pass"]);
    // Workspace: a domain of one's own, read at Google's.
    finds(&Own::new("other.example", &["imap.gmail.com"]), &[header], ["pass", "pass", "pass"]);
    finds(&Own::new("other.example", &["imap.other.example"]), &[header], ["-", "-", "-"]);
}

#[test]
fn microsoft_365_is_read_though_it_leaves_its_name_out_but_only_on_top() {
    let own = Own::new("other.example", &["outlook.office365.com"]);
    let header = "spf=pass (sender IP is 192.0.2.10)\r\n smtp.mailfrom=corp.example; dkim=none (message not signed)\r\n header.d=none;dmarc=bestguesspass action=none header.from=corp.example;compauth=pass\r\n reason=109";
    finds(&own, &[header], ["pass", "none", "bestguesspass"]);
    finds(&own, &["relay.other.example; spf=fail", header], ["fail", "-", "-"]);
    finds(&corp(), &[header], ["-", "-", "-"]);
    // An older form repeats the recipient's domain.
    let older = "spf=pass (sender IP is 192.0.2.10) smtp.mailfrom=corp.example; other.example; dkim=pass (signature was verified) header.d=corp.example;other.example; dmarc=pass action=none header.from=corp.example;";
    finds(&own, &[older], ["pass", "pass", "pass"]);
}

#[test]
fn what_exchange_online_writes_into_mail_that_it_sends_is_not_the_recipients_word() {
    let sent = "corp.example; dkim=none (message not signed)\r\n header.d=none;corp.example; dmarc=none action=none header.from=sender.example;";
    finds(&corp(), &[sent], ["-", "-", "-"]);
    finds(&corp(), &["mx.corp.example; spf=pass smtp.mailfrom=a@sender.example", sent], ["pass", "-", "-"]);
}

#[test]
fn fastmail_is_read_from_the_one_of_its_headers_that_says_it() {
    let headers = [
        "mx6.messagingengine.com;\r\n    x-csa=none;\r\n    x-me-sender=none;\r\n    x-ptr=pass smtp.helo=smtp.corp.example\r\n      policy.ptr=smtp.corp.example",
        "mx6.messagingengine.com;\r\n    bimi=skipped (DMARC Policy is not at enforcement)",
        "mx6.messagingengine.com;\r\n    arc=none (no signatures found)",
        "mx6.messagingengine.com;\r\n    dkim=pass (2048-bit rsa key sha256) header.d=corp.example\r\n      header.i=@corp.example header.b=hr44hXYS header.a=rsa-sha256\r\n      header.s=s1 x-bits=2048;\r\n    dmarc=pass policy.published-domain-policy=none\r\n      policy.applied-disposition=none policy.evaluated-disposition=none\r\n      (p=none,sp=quarantine,d=none,d.eval=none) policy.policy-from=p\r\n      header.from=corp.example;\r\n    iprev=pass smtp.remote-ip=192.0.2.10 (smtp.corp.example);\r\n    spf=softfail smtp.mailfrom=alerts@corp.example\r\n      smtp.helo=smtp.corp.example",
    ];
    finds(&Own::new("fastmail.com", &["imap.fastmail.com"]), &headers, ["softfail", "pass", "pass"]);
}

#[test]
fn yahoo_and_aol_are_read_in_the_words_of_today_and_of_2020() {
    let own = Own::new("aol.com", &["imap.aol.com", "imap.mail.yahoo.com"]);
    let header = "atlas-baseline-production.v2-mail-prod1-gq1.omega.yahoo.com;\r\n dkim=pass header.i=@corp.example header.s=s1;\r\n spf=pass smtp.mailfrom=corp.example;\r\n dmarc=pass(p=NONE,sp=QUARANTINE) header.from=corp.example;";
    finds(&own, &[header], ["pass", "pass", "pass"]);
    let older = "atlas207.free.mail.gq1.yahoo.com;\r\n dkim=dkim_pass header.i=@corp.example header.s=@splio;\r\n spf=none smtp.mailfrom=corp.example;\r\n dmarc=success(p=QUARANTINE,sp=REJECT) header.from=corp.example;";
    finds(&own, &[older], ["none", "pass", "pass"]);
    let oldest = "mta4011.mail.gq1.yahoo.com  from=corp.example; domainkeys=neutral (no sig);  from=corp.example; dkim=pass (ok)";
    finds(&own, &[oldest], ["-", "pass", "-"]);
}

#[test]
fn icloud_is_read_a_header_a_method() {
    let headers = [
        "bimi.icloud.com; bimi=none",
        "dmarc.icloud.com; dmarc=pass header.from=corp.example",
        "dkim-verifier.icloud.com;\r\n\tdkim=pass (2048-bit key) header.d=corp.example header.i=@corp.example header.b=CTWkc989",
        "spf.icloud.com; spf=pass (spf.icloud.com: domain of alerts@corp.example designates 192.0.2.10 as permitted sender) smtp.mailfrom=alerts@corp.example",
    ];
    finds(&Own::new("me.com", &["imap.mail.me.com"]), &headers, ["pass", "pass", "pass"]);
}

#[test]
fn zoho_is_read_though_it_forgets_a_semicolon() {
    let header = "mx.zohomail.com;\r\n\tdkim=pass\r\n\tspf=pass (zohomail.com: domain of corp.example designates 192.0.2.10 as permitted sender)  smtp.mailfrom=alerts@corp.example;\r\n\tdmarc=pass(p=reject dis=none)  header.from=corp.example";
    finds(&Own::new("other.example", &["imap.zoho.com"]), &[header], ["pass", "pass", "pass"]);
}

#[test]
fn debians_filters_are_read_each_with_its_own_header() {
    let opendmarc = "mail.corp.example; dmarc=fail (p=none dis=none) header.from=sender.example";
    let opendkim = "mail.corp.example/C741440440;\r\n\tdkim=pass (2048-bit key; unprotected) header.d=sender.example header.i=@sender.example header.b=\"lxlrOeGY\";\r\n\tdkim-atps=neutral";
    let policyd = "mail.corp.example; spf=none (no SPF record) smtp.mailfrom=sender.example (client-ip=192.0.2.10; helo=smtp.sender.example) ";
    finds(&corp(), &[opendmarc, opendkim, policyd], ["none", "pass", "fail"]);
}

#[test]
fn rspamd_is_read() {
    let header = "mx1.corp.example;\r\n\tdkim=pass header.d=sender.example header.s=mail header.b=Qt3dEzVb;\r\n\tdmarc=pass (policy=none) header.from=sender.example;\r\n\tspf=pass (mx1.corp.example: domain of alerts@sender.example designates 192.0.2.10 as permitted sender) smtp.mailfrom=alerts@sender.example";
    finds(&corp(), &[header], ["pass", "pass", "pass"]);
    let no = "mx1.corp.example;\r\n\tdkim=none;\r\n\tdmarc=none;\r\n\tspf=softfail (mx1.corp.example: 192.0.2.10 is neither permitted nor denied by domain of alerts@sender.example) smtp.mailfrom=alerts@sender.example";
    finds(&corp(), &[no], ["softfail", "none", "none"]);
}

#[test]
fn the_senders_spf_comes_before_that_of_helo_and_words_are_taken_in_any_case() {
    // Cisco's gateways
    let header = "gate.corp.example; spf=None smtp.helo=postmaster@smtp.sender.example; spf=Pass smtp.mailfrom=a@sender.example; dkim=hardfail (body hash did not verify [final]) header.i=@sender.example; dmarc=pass (p=quarantine dis=none) d=sender.example";
    finds(&corp(), &[header], ["pass", "hardfail", "pass"]);
}

#[test]
fn one_signature_that_holds_is_enough() {
    let header = "corp.example; dkim=fail header.d=a.example; dkim=pass header.d=b.example; dkim=neutral header.d=c.example";
    finds(&corp(), &[header], ["-", "pass", "-"]);
}

#[test]
fn the_topmost_header_that_speaks_of_a_method_decides() {
    let forged = "corp.example; spf=pass; dkim=pass; dmarc=pass";
    finds(&corp(), &["mx.corp.example; spf=fail; dmarc=fail", forged], ["fail", "pass", "fail"]);
}

#[test]
fn headers_of_others_do_not_count() {
    for id in ["mx.google.com", "evilcorp.example", "corp.example.evil.test", "example", "", "\"corp.example.evil.test\""] {
        finds(&corp(), &[&format!("{id}; spf=pass; dkim=pass; dmarc=pass")], ["-", "-", "-"]);
    }
    let by_address = Own::new("corp.example", &["192.0.2.1", "2001:db8::1", ""]);
    finds(&by_address, &["192.0.2.1; spf=pass"], ["-", "-", "-"]);
    finds(&by_address, &["CORP.Example. ; spf=pass"], ["pass", "-", "-"]);
}

#[test]
fn the_grammar_is_taken_with_all_that_it_admits() {
    // RFC 8601 appendix B.6 is like this, with a comment at every place.
    let odd = "mx.corp.example (a (b;c) d\\)) 1 (x;y) ; (z) dkim (k) / (v) 1 = (r) fail policy (p) . expired=1362471462 ; spf = \"pass\" reason=\"a; dmarc=pass\" smtp.mailfrom=\"a;b\"@c.example";
    finds(&corp(), &[odd], ["pass", "fail", "-"]);
    finds(&corp(), &["\"mx.corp.example\" 1; none"], ["-", "-", "-"]);
    finds(&corp(), &["mx.corp.example 2; spf=pass"], ["-", "-", "-"]);
    finds(&corp(), &["mx.corp.example"], ["-", "-", "-"]);
    finds(&corp(), &["mx.corp.example; spf=; dkim; =pass; dmarc==pass"], ["-", "-", "-"]);
    finds(&corp(), &["mx.corp.example; spf=pass (never closed; dkim=pass"], ["pass", "-", "-"]);
    finds(&corp(), &["mx.corp.example; spf=\"never closed; dkim=pass"], ["-", "-", "-"]);
}

#[test]
fn words_and_headers_are_bounded() {
    let long = format!("corp.example; spf={}; dkim=pass", "x".repeat(100));
    finds(&corp(), &[&long], ["xxxxxxxxxxxxxxxx", "pass", "-"]);
    let far = format!("corp.example; {}spf=pass", "x-y=z; ".repeat(4000));
    finds(&corp(), &[&far], ["-", "-", "-"]);
    let many = vec!["else.example; spf=pass"; 100];
    let with_own: Vec<&str> = many.into_iter().chain(["corp.example; spf=pass"]).collect();
    finds(&corp(), &with_own, ["-", "-", "-"]);
}

fn results(spf: &str, dkim: &str, dmarc: &str) -> Results {
    let word = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Results { spf: word(spf), dkim: word(dkim), dmarc: word(dmarc) }
}

#[test]
fn dmarc_decides_and_without_it_spf_or_dkim_is_enough() {
    use Alignment::{Aligned, NotAligned, Unknown};
    use Lack::{Dkim, Dmarc, SameDomain, Spf};
    for (spf, dkim, dmarc, verdict) in [
        ("fail", "fail", "pass", Aligned),
        ("pass", "none", "fail", NotAligned(vec![SameDomain])),
        ("none", "none", "fail", NotAligned(vec![Spf, Dkim])),
        ("temperror", "none", "fail", NotAligned(vec![Dkim])),
        ("temperror", "temperror", "fail", NotAligned(vec![Spf, Dkim])),
        ("", "", "fail", NotAligned(vec![Spf, Dkim])),
        ("pass", "none", "none", Aligned),
        ("none", "pass", "", Aligned),
        ("pass", "fail", "bestguesspass", Aligned),
        ("pass", "", "temperror", Aligned),
        ("softfail", "none", "none", NotAligned(vec![Spf, Dkim, Dmarc])),
        ("fail", "fail", "", NotAligned(vec![Spf, Dkim])),
        ("neutral", "", "", NotAligned(vec![Spf, Dkim])),
        ("temperror", "none", "none", Unknown),
        ("none", "oddword", "", Unknown),
        ("", "", "none", Unknown),
        ("", "", "", Unknown),
    ] {
        assert_eq!(aligned(&results(spf, dkim, dmarc)), verdict, "spf={spf} dkim={dkim} dmarc={dmarc}");
    }
}

#[test]
fn the_records_to_publish_are_named_with_the_domain() {
    let said = record(&[Lack::Spf, Lack::Dkim, Lack::Dmarc], "corp.example.");
    assert_eq!(
        said,
        "corp.example. TXT \"v=spf1 include:... -all\", with the sending server's name or addresses in it; \
         SELECTOR._domainkey.corp.example. TXT \"v=DKIM1; p=...\", the public key that the sending server signs with, under its selector; \
         _dmarc.corp.example. TXT \"v=DMARC1; p=none\""
    );
    assert!(record(&[Lack::SameDomain], "corp.example").contains("d=corp.example"));
}

proptest! {
    #[test]
    fn nothing_that_a_header_holds_breaks_it(headers in prop::collection::vec(".{0,200}", 0..4)) {
        let found = read(headers.iter().map(String::as_str), &Own::new("corp.example", &["outlook.office365.com"]));
        let _ = aligned(&found);
    }

    #[test]
    fn what_looks_like_one_breaks_nothing_and_stays_short(
        parts in prop::collection::vec(prop::sample::select(vec![
            "mx.corp.example", ";", "=", "(", ")", "\\", "\"", " ", "\r\n\t", "spf", "dkim", "dmarc", "pass", "fail", "/", "1", ".",
            "smtp.mailfrom", "\u{e9}", "aaaaaaaaaaaaaaaaaaaaaaaaa",
        ]), 0..40),
    ) {
        let found = read([parts.concat().as_str()], &corp());
        for word in [&found.spf, &found.dkim, &found.dmarc].into_iter().flatten() {
            prop_assert!((1..=16).contains(&word.len()) && word.is_ascii(), "{word:?}");
        }
    }
}
