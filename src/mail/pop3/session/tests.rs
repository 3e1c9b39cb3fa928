use super::*;

#[test]
fn a_timestamp_is_a_message_id_and_nothing_else_is() {
    for (words, found) in [
        ("POP3 server ready <1896.697170952@dbc.mtview.ca.us>", Some("<1896.697170952@dbc.mtview.ca.us>")),
        ("Dovecot ready. <37bf.1.6b029306.tiQP90R6RiVmQ4jQEHJlAg==@vm> x", Some("<37bf.1.6b029306.tiQP90R6RiVmQ4jQEHJlAg==@vm>")),
        ("ready", None),
        ("ready <>", None),
        ("ready <a@>", None),
        ("ready <a b@c>", None),
        ("ready <a@b", None),
        ("ready <a@b@c>", None),
        ("ready <a<b@c>", None),
        ("ready <a\u{80}@b>", None),
        ("ready > <a@b>", Some("<a@b>")),
    ] {
        assert_eq!(timestamp(words), found, "{words}");
    }
    assert_eq!(timestamp(&format!("<{}@b>", "a".repeat(999))), None);
}
