//! The pool of the process, alone in a process of its own: what writing takes comes back.

use std::thread;

use hotloop_core::{
    canon::{Writer, canonicalize},
    pool::Pool,
};

#[test]
fn writers_take_from_the_pool_and_threads_give_back_what_they_keep() {
    let text = format!("\"{}\"", "a".repeat(1 << 20));
    let write = || {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let text = text.clone();
                thread::spawn(move || {
                    // One writer within another, as when writing a value runs code that writes one.
                    let outer = Writer::growing();
                    for _ in 0..3 {
                        assert_eq!(canonicalize(text.as_bytes()), Ok(text.clone().into_bytes()));
                    }
                    drop(outer);
                    assert!(Pool::shared().stats().live >= 1);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    };
    write();
    let first = Pool::shared().stats();
    assert_eq!(first.live, 0);
    assert!(
        first.takes >= 20 && first.pooled_bytes > 1 << 20,
        "{first:?}"
    );
    write();
    let second = Pool::shared().stats();
    assert_eq!(second.live, 0);
    assert!(second.takes >= first.takes + 20 && second.reuses > first.reuses);
    assert!(second.pooled <= 64 && second.pooled_bytes <= 64 << 20);
}
