//! Letting go of caches in caches in caches: each is freed within the destructor of the one around it.
//!
//! Python's own containers count how deep they are, and free what lies too deep later ("trashcan"); `PyO3` has no such
//! thing for classes of ours.

use std::cell::{Cell, RefCell};

use hotloop_core::cache::Dropped;
use pyo3::prelude::*;

/// Destructors that run within each other, at most.
const DEEPEST: usize = 50;

#[derive(Default)]
struct Nest {
    depth: Cell<usize>,
    waiting: RefCell<Vec<Py<PyAny>>>,
}

thread_local! {
    static NEST: Nest = Nest::default();
}

/// Lets go of what a cache held that is itself no more.
pub(crate) fn release(values: Dropped<Py<PyAny>>) {
    // Where the thread ends and has no nest any more, the values are dropped with the closure.
    let _ended = NEST.try_with(|nest| {
        let depth = nest.depth.get();
        if depth == DEEPEST {
            nest.waiting.borrow_mut().extend(values);
            return;
        }
        nest.depth.set(depth + 1);
        drop(values);
        let next = || nest.waiting.borrow_mut().pop();
        while depth == 0
            && let Some(value) = next()
        {
            drop(value);
        }
        nest.depth.set(depth);
    });
}
