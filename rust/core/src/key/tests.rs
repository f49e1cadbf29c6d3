//! What keys promise, on text.

use super::*;

fn scope() -> Scope {
    Scope::new("", b"", "", [])
}

fn key(text: &str) -> Digest {
    request_key(&scope(), text.as_bytes()).unwrap()
}

#[test]
fn the_spelling_of_a_body_does_not_matter() {
    let one = key(r#"{"model":"m","messages":[{"role":"user","content":"é"}],"n":1}"#);
    assert_eq!(
        one,
        key(
            "{\"n\": 1.0,\n \"messages\": [{\"content\":\"\\u00e9\", \"role\":\"user\"}], \"model\": \"m\"}"
        )
    );
}

#[test]
fn whatever_differs_gives_another_key() {
    let bodies = [
        r"{}",
        r#"{"messages":[]}"#,
        r#"{"messages":null}"#,
        r#"{"messages":{}}"#,
        r#"{"messages":[[]]}"#,
        r#"{"messages":[null]}"#,
        r#"{"messages":[null,null]}"#,
        r#"{"messages":[[null]]}"#,
        r#"{"messages":"[]"}"#,
        r#"{"messages":[],"a":1}"#,
        r#"{"a":1}"#,
        r#"{"a":"1"}"#,
        r#"{"a":true}"#,
        r#"{"a":null}"#,
        r#"{"input":[]}"#,
        r#"{"input":[{}]}"#,
        r#"{"messages":[{}],"input":[]}"#,
    ];
    let keys: std::collections::HashSet<_> = bodies.iter().map(|body| key(body)).collect();
    assert_eq!(keys.len(), bodies.len());

    let header = |name: &'static str, value: &'static str| (name.as_bytes(), value.as_bytes());
    let scopes = [
        scope(),
        Scope::new("a", b"", "", []),
        Scope::new("", b"a", "", []),
        Scope::new("", b"", "a", []),
        Scope::new("", b"", "", [header("a", "")]),
        Scope::new("", b"", "", [header("a", "b")]),
        Scope::new("", b"", "", [header("a", ""), header("b", "")]),
    ];
    let keys: std::collections::HashSet<_> = scopes
        .iter()
        .map(|scope| request_key(scope, b"{}").unwrap())
        .collect();
    assert_eq!(keys.len(), scopes.len());
}

#[test]
fn a_chain_gives_the_key_of_the_whole() {
    let mut chain = Chain::new(&scope(), br#"{"model":"m"}"#).unwrap();
    assert_eq!(chain.digest(), key(r#"{"model":"m","messages":[]}"#));
    chain.append(br#" {"role" : "user"}"#).unwrap();
    let whole = r#"{"messages":[{"role":"user"}],"model":"m"}"#;
    assert_eq!((chain.digest(), chain.messages()), (key(whole), 1));
    assert_eq!(Chain::new(&scope(), whole.as_bytes()), Ok(chain));
}

#[test]
fn a_chain_refuses_what_it_cannot_append() {
    let mut chain = Chain::new(&scope(), b"{}").unwrap();
    let before = chain;
    assert!(chain.append(b"{").is_err());
    assert!(chain.append(br#"{"a":1,"a":1}"#).is_err());
    assert_eq!(chain, before);
    let error = Chain::new(&scope(), br#"{"messages":null}"#).unwrap_err();
    assert_eq!(error.path(), "$.messages");
    assert!(Chain::new(&scope(), b"[]").is_err());
}

#[test]
fn a_body_is_an_object() {
    for body in ["[]", "1", "null", "\"messages\"", "[{\"messages\":[]}]"] {
        assert!(
            request_key(&scope(), body.as_bytes())
                .unwrap_err()
                .reason()
                .contains("object"),
            "{body}"
        );
    }
    let error = request_key(&scope(), br#"{"messages":[{},{"a":1,"a":1}]}"#).unwrap_err();
    assert_eq!(error.path(), "$.messages[1].a");
    assert!(request_key(&scope(), br#"{"messages":[1],"messages":[2]}"#).is_err());
}
