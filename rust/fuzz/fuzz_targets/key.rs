//! A request in any spelling, whole or as a chain cut anywhere, has one key; another request has another.
#![no_main]

use arbitrary::Arbitrary;
use hotloop_core::canon::canonicalize;
use hotloop_core::key::{Chain, Scope, cache_key, request_key};
use hotloop_fuzz::{Json, Speller};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    url: String,
    namespace: String,
    tenant: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    head: Vec<(String, Json)>,
    messages: Vec<Json>,
    other: Json,
    at: usize,
    speller: Speller,
}

impl Input {
    fn scope(&self) -> Scope {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (&name[..], &value[..]));
        Scope::new(&self.namespace, &self.tenant, &self.url, headers)
    }

    /// A text of the head with these messages.
    fn body(&self, messages: &[Json], speller: &mut Speller) -> Vec<u8> {
        let mut members = self.head.clone();
        members.push(("messages".to_owned(), Json::Array(messages.to_vec())));
        let mut text = String::new();
        speller.object(&members, &mut text);
        text.into_bytes()
    }
}

fn text(value: &Json, speller: &mut Speller) -> Vec<u8> {
    let mut text = String::new();
    speller.write(value, &mut text);
    text.into_bytes()
}

fuzz_target!(|input: Input| {
    let mut input = input;
    input.messages.truncate(8);
    let mut names = Vec::new();
    input.head.retain(|(name, _)| {
        let new = name != "messages" && !names.contains(name);
        names.push(name.clone());
        new
    });
    let scope = input.scope();
    let speller = &mut input.speller.clone();
    let body = input.body(&input.messages, speller);
    let key = request_key(&scope, &body).expect("a body with a canonical form");
    for _ in 0..3 {
        assert_eq!(
            request_key(&scope, &input.body(&input.messages, speller)),
            Ok(key)
        );
    }

    let cut = input.at % (input.messages.len() + 1);
    let (before, after) = input.messages.split_at(cut);
    let mut chain = Chain::new(&scope, &input.body(before, speller)).expect("a head");
    for message in after {
        chain.append(&text(message, speller)).expect("a message");
    }
    assert_eq!(
        (chain.digest(), chain.messages()),
        (key, input.messages.len())
    );

    // Another message in one place, or one more: another key exactly where the canonical forms differ.
    let mut others = input.messages.clone();
    match others.get_mut(cut) {
        Some(message) => *message = input.other.clone(),
        None => others.push(input.other.clone()),
    }
    let other = input.body(&others, speller);
    let same = canonicalize(&body) == canonicalize(&other);
    assert_eq!(request_key(&scope, &other) == Ok(key), same);
    assert_eq!(
        cache_key(&other, &input.namespace) == cache_key(&body, &input.namespace),
        same
    );
    assert_ne!(cache_key(&body, &input.namespace), Ok(key));
    let elsewhere = Scope::new(
        &format!("{}x", input.namespace),
        &input.tenant,
        &input.url,
        [],
    );
    assert_ne!(request_key(&elsewhere, &body), Ok(key));
});
