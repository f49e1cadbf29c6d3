//! The lock of a cache where the interpreter's own lock does the work.

#[cfg(not(Py_GIL_DISABLED))]
mod held {
    use crate::fetch::fetch;
    use hotloop_core::cache::sync::{AtomicU64, Ordering, Sharing};
    use lock_api::{GuardNoSend, RawRwLock};

    /// Nothing: whoever calls the core holds the GIL.
    ///
    /// The binding calls the core while it holds the GIL, and the core neither lets go of it nor runs Python code. All
    /// interpreters that can load the module share one GIL: Python refuses it to those with their own, as it does not
    /// say that it supports them. So no two calls overlap.
    pub(crate) struct NoLock;

    // SAFETY: calls never overlap, so a lock that is free whenever it is asked for excludes all there is to exclude.
    unsafe impl RawRwLock for NoLock {
        const INIT: Self = Self;
        type GuardMarker = GuardNoSend;

        #[inline]
        fn lock_shared(&self) {}

        #[inline]
        fn try_lock_shared(&self) -> bool {
            true
        }

        #[inline]
        unsafe fn unlock_shared(&self) {}

        #[inline]
        fn lock_exclusive(&self) {}

        #[inline]
        fn try_lock_exclusive(&self) -> bool {
            true
        }

        #[inline]
        unsafe fn unlock_exclusive(&self) {}
    }

    /// One thread at a time.
    pub(crate) struct Interpreter;

    impl Sharing for Interpreter {
        type Lock = NoLock;

        /// One would do, but it would grow with a longer pause. More are farther apart in memory.
        const MOST_SHARDS: u64 = 4;

        #[inline]
        fn count(counter: &AtomicU64) -> u64 {
            let before = counter.load(Ordering::Relaxed);
            counter.store(before + 1, Ordering::Relaxed);
            before
        }

        #[inline]
        fn fetch<T>(soon: &T) {
            fetch(soon);
        }
    }
}

#[cfg(not(Py_GIL_DISABLED))]
pub(crate) use held::Interpreter;

/// Free-threaded Python has no such lock.
#[cfg(Py_GIL_DISABLED)]
pub(crate) use hotloop_core::cache::Threads as Interpreter;
