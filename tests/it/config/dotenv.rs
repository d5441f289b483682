//! The `.env` file: what its lines mean, and that a broken one is named by its line without being
//! shown.

use std::path::Path;

use collector::config::{Environment, parse};

/// What `.env` with this text says about `V`; the message when it is refused.
fn value(text: &str) -> Result<String, String> {
    let environment =
        Environment::new(|_| None).with_file(Path::new(".env"), text).map_err(|f| f.to_string())?;
    let config = parse(Path::new("c.yaml"), b"collector: {tags: {v: '${V}'}}", &environment)
        .map_err(|error| error.to_string())?;
    Ok(config.tags["v"].clone())
}

const GOOD: &[(&str, &str)] = &[
    ("V=abc", "abc"),
    ("V=abc\n", "abc"),
    ("V=abc\r\n", "abc"),
    ("V=abc\r\nW=x\r\n", "abc"),
    ("V=abc   ", "abc"),
    ("V=abc\t\n", "abc"),
    ("  V=abc", "abc"),
    ("V = abc", "abc"),
    ("V= abc", "abc"),
    ("V =abc", "abc"),
    ("export V=abc", "abc"),
    ("export   V=abc", "abc"),
    ("\u{feff}V=abc", "abc"),
    ("\n\n# comment\nV=abc\n", "abc"),
    ("# it's a comment\nV=abc\n", "abc"),
    ("  # indented\nV=abc\n", "abc"),
    ("V=abc # comment", "abc"),
    ("V=abc # it's \"one\"", "abc"),
    ("V=abc#def", "abc#def"),
    ("V=#abc", ""),
    ("V=", ""),
    ("V=\n", ""),
    ("V=''", ""),
    ("V=\"\"", ""),
    ("V='abc'", "abc"),
    ("V=\"abc\"", "abc"),
    ("V='a b c'", "a b c"),
    ("V=\"a b c\"", "a b c"),
    ("V='a # b'", "a # b"),
    ("V='a\"b'", "a\"b"),
    ("V=\"a'b\"", "a'b"),
    ("V=\"a\\\"b\"", "a\"b"),
    ("V=\"a\\\\b\"", "a\\b"),
    ("V='abc' # comment", "abc"),
    ("V=a=b", "a=b"),
    ("V=a=b==", "a=b=="),
    ("V=YWJj+/8==", "YWJj+/8=="),
    ("V=http://h:1/x?y&z", "http://h:1/x?y&z"),
    ("V={\"a\"}", "{a}"),
    ("V=é", "é"),
    ("V=a\\ b", "a b"),
    // A dollar is a dollar: a key that holds one must not lose what follows.
    ("V=pa$word", "pa$word"),
    ("V=pa$$word", "pa$$word"),
    ("V=${W}", "${W}"),
    ("W=1\nV=$W", "$W"),
    ("V=\"pa$word\"", "pa$word"),
    ("V='pa$word'", "pa$word"),
    ("V=pa\\$word", "pa$word"),
    ("V=$", "$"),
    ("V=a\nV=b", "b"),
    ("W=x\nV=abc\nX=y", "abc"),
    ("V_2=x\nV=abc", "abc"),
    ("a.b=x\nV=abc", "abc"),
    ("_=x\nV=abc", "abc"),
    ("V=-", "-"),
    ("V=0", "0"),
    ("V=true", "true"),
];

const BAD: &[(&str, usize)] = &[
    ("canary", 1),
    ("\ncanary", 2),
    ("# x\n\nV=a\n\n# y\ncanary\n", 6),
    ("=canary", 1),
    ("1V=canary", 1),
    ("V-W=canary", 1),
    ("V: canary", 1),
    ("V=a canary", 1),
    ("V='canary", 1),
    ("A=b\nV=\"canary\nW=x\n", 2),
    ("A=b\n\nV=it's canary\n", 3),
    ("V='a'canary b", 1),
    ("V=a\\canary", 1),
    ("export canary", 1),
    ("set V=canary", 1),
    ("V=abc\u{a0}canary\nW canary", 2),
    ("é=canary", 1),
];

#[test]
fn good_lines_mean_what_a_shell_would_make_of_them_save_that_a_dollar_is_a_dollar() {
    for (text, expected) in GOOD {
        assert_eq!(value(text).as_deref(), Ok(*expected), "{text:?}");
    }
}

#[test]
fn a_broken_line_is_named_and_not_shown() {
    for (text, line) in BAD {
        let message = value(text).expect_err(text);
        println!("{message}");
        assert!(
            message.starts_with(&format!(".env:{line}: expected NAME=value")),
            "{text:?} {message}"
        );
        assert!(!message.contains("canary"), "{message}");
    }
}

#[test]
fn an_unset_name_is_an_error_that_also_names_the_file() {
    let message = value("W=x").expect_err("V is unset");
    assert!(message.contains("V isn't set, and .env doesn't name it either"), "{message}");
}
