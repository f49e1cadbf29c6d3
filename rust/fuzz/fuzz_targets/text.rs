//! Any bytes, read by everything that reads JSON text: an answer or an error, and no two of them contradict.
#![no_main]

use hotloop_core::canon::{CanonError, canonicalize};
use hotloop_core::key::{Chain, Scope, cache_key, request_key};
use libfuzzer_sys::fuzz_target;

/// An error of bounded size, whatever the text.
fn bounded(error: &CanonError) {
    assert!(error.path().starts_with('$'));
    assert!(error.to_string().len() < 16 << 10, "{error}");
}

fuzz_target!(|text: &[u8]| {
    let scope = Scope::new("", b"", "", []);
    let form = canonicalize(text);
    let key = cache_key(text, "");
    let request = request_key(&scope, text);
    let chain = Chain::new(&scope, text);
    let appended = Chain::new(&scope, b"{}").and_then(|mut chain| chain.append(text));
    for error in [
        form.as_ref().err(),
        key.as_ref().err(),
        request.as_ref().err(),
    ]
    .into_iter()
    .flatten()
    {
        bounded(error);
    }
    // Keys take exact integers only, canonical text also printed ones.
    assert!(form.is_ok() || key.is_err());
    assert_eq!(appended.err(), key.as_ref().err().cloned());
    let object = form.as_ref().is_ok_and(|form| form.starts_with(b"{"));
    assert_eq!(request.is_ok(), key.is_ok() && object);
    if let (Ok(form), Ok(key), Ok(request)) = (&form, &key, &request) {
        if let Ok(again) = cache_key(form, "") {
            assert_eq!(
                (again, request_key(&scope, form).as_ref()),
                (*key, Ok(request))
            );
        }
    }
    if let Ok(chain) = chain {
        assert!(request.is_ok());
        if chain.messages() > 0 {
            assert_eq!(Ok(chain.digest()), request);
        }
    }
});
