use super::*;

#[test]
fn what_would_end_a_line_is_never_sent() {
    for (text, is_word, fit) in [
        ("relay@mx.test", true, true),
        ("pass word", false, true),
        ("two words", true, false),
        ("a\r\nDELE 1", false, false),
        ("a\nb", false, false),
        ("a\0b", false, false),
        ("a\rb", true, false),
    ] {
        assert_eq!(fits("USER", "the user name", text, is_word).is_ok(), fit, "{text:?}");
    }
}

#[test]
fn digits_are_lower_case() {
    assert_eq!((0..16).map(hexadecimal).collect::<String>(), "0123456789abcdef");
}
