//! Any bytes: what has a canonical form has the one that other people's parts give, and it is its own.
#![no_main]

use hotloop_core::canon::canonicalize;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(form) = canonicalize(text) else {
        return;
    };
    assert_eq!(canonicalize(&form).as_ref(), Ok(&form), "not its own form");
    let other = hotloop_fuzz::canonical(text);
    assert_eq!(
        other.as_ref(),
        Some(&form),
        "another form: {}",
        String::from_utf8_lossy(&form)
    );
});
