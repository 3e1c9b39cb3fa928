use proptest::prelude::*;

use super::*;

fn said(status: Status, code: Option<&str>, text: &str) -> Said {
    Said { status, code: code.map(str::to_owned), text: text.to_owned() }
}

#[test]
fn a_response_is_read_as_rfc_9051_prints_it() {
    let header = b"* 3 FETCH (UID 7 BODY[HEADER.FIELDS (SUBJECT X-A)]<0> {12}\r\nSubject: a\r\n FLAGS (\\Seen UID 9))";
    for (bytes, response) in [
        (&b"a1 OK LOGIN done"[..], Response::Tagged("a1".into(), said(Status::Ok, None, "LOGIN done"))),
        (b"a1 no [LIMIT] wait", Response::Tagged("a1".into(), said(Status::No, Some("LIMIT"), "[LIMIT] wait"))),
        (b"a1 BAD", Response::Tagged("a1".into(), said(Status::Bad, None, ""))),
        (b"* BYE {5}", Response::Untagged(said(Status::Bye, None, "{5}"))),
        (b"* OK [UIDNEXT 8]", Response::Untagged(said(Status::Ok, Some("UIDNEXT 8"), "[UIDNEXT 8]"))),
        (b"+ ", Response::Continue(String::new())),
        (b"+", Response::Continue(String::new())),
        (b"+ dGVzdA==", Response::Continue("dGVzdA==".into())),
        (b"+OK POP3", Response::Unreadable("+OK POP3".into())),
        (b"* CAPABILITY IMAP4rev1 AUTH=PLAIN", Response::Capability(vec!["IMAP4rev1".into(), "AUTH=PLAIN".into()])),
        (b"* SEARCH", Response::Search(vec![])),
        (b"* SEARCH 2 84 882 ", Response::Search(vec![2, 84, 882])),
        (b"* 23 EXISTS", Response::Exists(23)),
        (b"* 44 EXPUNGE", Response::Expunge),
        (b"* 4294967296 EXISTS", Response::Other),
        (b"* FLAGS (\\Answered)", Response::Other),
        (b"* 3 FETCH (FLAGS (\\Seen))", Response::Fetch(Fetched::default())),
        (b"* 3 FETCH (INTERNALDATE NIL BODY NIL UID 4)", Response::Fetch(Fetched { uid: Some(4), header: None })),
        (b"* 3 FETCH (BODY[HEADER.FIELDS (SUBJECT)] NIL UID 7)", Response::Fetch(Fetched { uid: Some(7), header: Some(vec![]) })),
        (header, Response::Fetch(Fetched { uid: Some(7), header: Some(b"Subject: a\r\n".to_vec()) })),
        (b"", Response::Unreadable(String::new())),
        (b"hello there", Response::Unreadable("hello there".into())),
        (b" OK no tag", Response::Unreadable(" OK no tag".into())),
        (b"a1 BYE", Response::Unreadable("a1 BYE".into())),
        (b"220 mx ESMTP", Response::Unreadable("220 mx ESMTP".into())),
    ] {
        assert_eq!(parse(bytes), response, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_folder_is_read_in_each_form_of_its_name() {
    for (bytes, name) in [
        (&br#"* LIST (\HasNoChildren \Junk) "/" Spam"#[..], Some("Spam")),
        (br#"* LIST (\Junk) NIL "a \"b\" \\c""#, Some(r#"a "b" \c"#)),
        (b"* LIST (\\Junk) \"/\" {4}\r\nSpam", Some("Spam")),
        (br#"* LIST (\Junk) "/" [Gmail]/Spam"#, Some("[Gmail]/Spam")),
        (br#"* LIST (\Junk) "/" "&BBoEPgRABDcEOAQ9BDA-" ("OLDNAME" ("x"))"#, Some("&BBoEPgRABDcEOAQ9BDA-")),
        (b"* LIST (\\Junk) \"/\" {11}\r\na\r\nb LOGOUT", None),
        (br#"* LIST (\Junk) "/""#, None),
        (br"* LIST (\Junk", None),
    ] {
        let want = name.map(|name| {
            let mut folder = Folder { attributes: vec!["\\junk".into()], name: name.into() };
            if bytes.windows(13).any(|part| part == b"HasNoChildren") {
                folder.attributes.insert(0, "\\hasnochildren".into());
            }
            Response::List(folder)
        });
        assert_eq!(parse(bytes), want.unwrap_or(Response::Other), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_literal_is_announced_at_the_end_of_a_line() {
    for (line, count) in [
        (&b"* 1 FETCH (BODY[] {12}"[..], Some(12)),
        (b"{0}", Some(0)),
        (b"x {7+}\r", Some(7)),
        (b"~{3}", Some(3)),
        (b"{99999999999999999999999}", Some(usize::MAX)),
        (b"{}", None),
        (b"{-1}", None),
        (b"{1} ", None),
        (b"1}", None),
    ] {
        assert_eq!(announced(line), count, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn what_nests_without_end_is_read_without_a_deep_stack() {
    for nest in ["(", "((\"a\" ", "BODY[", "(BODYSTRUCTURE "] {
        parse(format!("* 1 FETCH ({}", nest.repeat(60_000)).as_bytes());
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_broken_to_be_read(bytes: Vec<u8>) {
        parse(&bytes);
    }

    #[test]
    fn nothing_that_looks_like_a_response_is_too_broken(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "* ", "a1 ", "+ ", "OK", "BYE ", "[", "]", "(", ")", "\"", "\\", "{3}\r\n", "{9999}", "\r\n", " ", "FETCH ", "1 ",
                "UID ", "BODY[HEADER.FIELDS (", "<0> ", "NIL", "LIST ", "SEARCH ", "CAPABILITY ", "é", "\0", "EXISTS", "~{1}",
            ]),
            0..40,
        )
    ) {
        parse(parts.concat().as_bytes());
    }
}
