//! What canonical JSON promises, on text.

use super::*;

fn canon(text: &str) -> String {
    String::from_utf8(canonicalize(text.as_bytes()).unwrap()).unwrap()
}

fn refused(text: impl AsRef<[u8]>) -> (String, String) {
    let error = canonicalize(text.as_ref()).unwrap_err();
    (error.path(), error.reason().to_owned())
}

#[test]
fn names_are_sorted_by_utf16() {
    // RFC 8785, section 3.2.3.
    let text = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
    let want = [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small",
        "Euro Sign",
        "Emoji",
        "Hebrew",
    ];
    let got = canon(text);
    let places: Vec<usize> = want.iter().map(|value| got.find(value).unwrap()).collect();
    assert!(places.is_sorted(), "{got}");
}

#[test]
fn the_example_of_the_rfc() {
    let text = r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#;
    let want = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
    assert_eq!(canon(text), want);
}

#[test]
fn integers_are_exact_or_refused() {
    assert_eq!(canon("9007199254740992"), "9007199254740992");
    assert_eq!(canon("1152921504606846976"), "1152921504606847000");
    assert_eq!(canon("-0"), "0");
    assert_eq!(canon("1e21"), "1e+21");
    assert_eq!(canon("1000000000000000000000"), "1e+21");
    for text in [
        "9007199254740993",
        "-9007199254740993",
        "18446744073709551615",
        "1e400",
        "-1e400",
    ] {
        assert_eq!(refused(text).0, "$", "{text}");
    }
    assert!(refused("1".repeat(400)).1.contains("exactly"));
    // What ECMAScript prints for 2^68 is its own canonical form, but not the number: a key refuses it.
    let printed = "295147905179352830000";
    assert_eq!(canon(printed), printed);
    assert_eq!(canon("295147905179352825856"), printed);
    assert!(crate::key::cache_key(printed.as_bytes(), "").is_err());
    for shift in 0..63 {
        let value = 1_i64 << shift;
        assert!(exact_integer(value).is_some() && exact_integer(-value).is_some());
        if shift >= 53 {
            assert!(
                exact_integer(value + 1).is_none()
                    && (shift == 53 || exact_integer(value - 1).is_none())
            );
        }
    }
    assert!(
        exact_integer(i64::MAX).is_none()
            && exact_integer(i64::MIN).is_some()
            && exact_integer(0) == Some(0.0)
    );
}

#[test]
fn errors_say_where() {
    assert_eq!(refused(r#"{"a":[1,{"b c":1e999}]}"#).0, r#"$.a[1]["b c"]"#);
    assert_eq!(refused(r#"{"a":{"x":1,"x":2}}"#).0, "$.a.x");
    assert_eq!(refused(r#"{"a":{"x":1,"\u0078":2}}"#).0, "$.a.x");
    assert_eq!(refused(r#"["\ud800"]"#).0, "$[0]");
    assert_eq!(refused(b"{\"k\":[\"ab\xff\"]}").0, "$.k[0]");
    assert_eq!(
        refused(b"{} \xff"),
        ("$".to_owned(), "byte 3 is not UTF-8".to_owned())
    );
    assert_eq!(refused(r#"{"a":1} x"#).0, "$");
    let deep = "[".repeat(100_000);
    assert!(refused(&deep).1.contains("512"));
    assert!(refused(&deep).0.len() < 200);
    assert_eq!(canon(&("[".repeat(512) + &"]".repeat(512))).len(), 1024);
    assert!(
        refused("[".repeat(513) + &"]".repeat(513))
            .1
            .contains("512")
    );
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "nul",
        "tru",
        "NaN",
        "Infinity",
        "-",
        "-a",
        "01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,]",
        "{",
        "{\"",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "'a'",
        "[1 2]",
        "1 2",
        "\u{feff}1",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800x\"",
        "//",
        "0x10",
        "[]]",
    ] {
        refused(text);
    }
}

#[test]
fn strings_of_any_length_around_the_blocks() {
    for len in 0..80 {
        for (place, special) in (0..len).flat_map(|place| {
            [
                (place, "\u{1f}"),
                (place, "\""),
                (place, "é"),
                (place, "\u{7f}"),
            ]
        }) {
            let mut text = "x".repeat(len);
            text.replace_range(place..=place, special);
            let mut writer = Writer::growing();
            writer.string(&text).unwrap();
            let escaped = text.replace('"', "\\\"").replace('\u{1f}', "\\u001f");
            assert_eq!(writer.as_bytes(), format!("\"{escaped}\"").as_bytes());
            assert_eq!(canonicalize(writer.as_bytes()).unwrap(), writer.as_bytes());
        }
    }
}

/// So many characters, some of which need an escape, at any distance from each other.
fn mixed(len: usize) -> String {
    let character = |n| if n % 67 == n / 67 % 61 { '\n' } else { 'x' };
    (0..len).map(character).collect()
}

#[test]
fn strings_of_many_pieces() {
    for len in [190, 191, 192, 193, 256, 2047, 2048, 2049, 5000] {
        let mut writer = Writer::growing();
        writer.string(&mixed(len)).unwrap();
        let want = format!("\"{}\"", mixed(len).replace('\n', "\\n"));
        assert_eq!(writer.as_bytes(), want.as_bytes());
    }
}

#[test]
fn hashing_gives_the_hash_of_what_growing_keeps() {
    use sha2::{Digest as _, Sha256};
    let pieces = [
        "\u{1}".repeat(70_000),
        "plain".repeat(30_000),
        "\"\\".repeat(100),
        String::new(),
        mixed(200),
        mixed(2100),
        mixed(5000),
    ];
    for prefix in [0, 1, 63, 64, 65, 200, 100_000].map(|len| vec![7; len]) {
        let (mut grown, mut hashed) = (Writer::growing(), Writer::hashing(&prefix));
        assert!(hashed.is_empty());
        for piece in &pieces {
            for writer in [&mut grown, &mut hashed] {
                writer.string(piece).unwrap();
                writer.raw(piece.as_bytes()).unwrap();
                writer.number(1.5e300).unwrap();
                for _ in 0..1000 {
                    writer.name("short").unwrap();
                    writer.byte(b',').unwrap();
                }
            }
        }
        assert_eq!(grown.len(), hashed.len());
        let want = Sha256::new()
            .chain_update(prefix)
            .chain_update(grown.as_bytes());
        assert_eq!(hashed.digest(), <[u8; 32]>::from(want.finalize()));
    }
}

#[test]
fn a_form_that_is_too_long_is_refused() {
    let half = vec![b' '; MAX_BYTES / 2];
    let mut writer = Writer::growing();
    for _ in 0..2 {
        assert_eq!(writer.raw(&half).and_then(|()| writer.finish()), Ok(()));
    }
    assert_eq!(
        writer.raw(b" ").and_then(|()| writer.finish()),
        Err(TooLong)
    );
    assert_eq!(writer.string(&"x".repeat(MAX_BYTES + 1)), Err(TooLong));
}
