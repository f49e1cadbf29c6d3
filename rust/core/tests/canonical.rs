//! The golden vectors in Rust, and properties of canonical text.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use hotloop_core::canon::{Writer, canonicalize};
use hotloop_core::key::{Scope, cache_key, request_key};
use proptest::prelude::*;
use serde_json::Value;

fn vectors(name: &str) -> Vec<Value> {
    let path = format!(
        "{}/../../tests/vectors/{name}.jsonl",
        env!("CARGO_MANIFEST_DIR")
    );
    let lines = std::fs::read_to_string(path).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text<'v>(vector: &'v Value, field: &str) -> &'v str {
    vector[field].as_str().unwrap()
}

fn hex(digits: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[test]
fn canonical_vectors() {
    for vector in vectors("canonical") {
        for field in ["text", "canonical"] {
            let form = canonicalize(text(&vector, field).as_bytes()).unwrap();
            assert_eq!(
                std::str::from_utf8(&form).unwrap(),
                text(&vector, "canonical")
            );
        }
    }
}

#[test]
fn double_vectors() {
    for vector in vectors("doubles") {
        let bits = u64::from_str_radix(text(&vector, "bits"), 16).unwrap();
        let mut writer = Writer::growing();
        writer.number(f64::from_bits(bits)).unwrap();
        assert_eq!(writer.as_bytes(), text(&vector, "canonical").as_bytes());
    }
}

#[test]
fn refused_vectors() {
    for vector in vectors("refused") {
        assert_eq!(
            canonicalize(text(&vector, "text").as_bytes())
                .unwrap_err()
                .path(),
            text(&vector, "path")
        );
    }
}

#[test]
fn key_vectors() {
    for vector in vectors("values") {
        let key = cache_key(text(&vector, "text").as_bytes(), text(&vector, "namespace")).unwrap();
        assert_eq!(key.as_slice(), hex(text(&vector, "key")));
    }
    for vector in vectors("requests") {
        let headers = vector["headers"].as_array().unwrap().iter();
        let headers = headers.map(|pair| {
            (
                pair[0].as_str().unwrap().as_bytes(),
                pair[1].as_str().unwrap().as_bytes(),
            )
        });
        let tenant = hex(text(&vector, "tenant"));
        let scope = Scope::new(
            text(&vector, "namespace"),
            &tenant,
            text(&vector, "url"),
            headers,
        );
        let key = request_key(&scope, text(&vector, "body").as_bytes()).unwrap();
        assert_eq!(key.as_slice(), hex(text(&vector, "key")), "{vector}");
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53)..=1 << 53).prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has finite numbers", |number| number.is_finite())
            .prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,12}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_spelling_does_not_matter_and_the_form_is_its_own(value in json()) {
        let compact = canonicalize(value.to_string().as_bytes()).unwrap();
        let spaced = canonicalize(serde_json::to_string_pretty(&value).unwrap().as_bytes()).unwrap();
        prop_assert_eq!(&compact, &spaced);
        prop_assert_eq!(&canonicalize(&compact).unwrap(), &compact);
    }

    #[test]
    fn doubles_read_back(bits: u64) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let mut writer = Writer::growing();
        writer.number(number).unwrap();
        let back: f64 = std::str::from_utf8(writer.as_bytes()).unwrap().parse().unwrap();
        prop_assert_eq!(back.to_bits(), (number + 0.0).to_bits()); // -0 is printed as 0
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = canonicalize(&bytes);
    }

    #[test]
    fn any_row_of_tokens_is_answered(tokens in prop::collection::vec(
        prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"a\"", "\"\\u00e9\"", "\"\\ud83d", "\"", "1", "-", "0.5e", "true", "nul", " "]), 0..30)) {
        let text = tokens.concat();
        if let Ok(form) = canonicalize(text.as_bytes()) {
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
            prop_assert_eq!(&canonicalize(&form).unwrap(), &form);
        }
    }
}
