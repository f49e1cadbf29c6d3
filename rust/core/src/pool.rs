//! Reusable memory for large, short-lived buffers.
//!
//! A buffer that is given back keeps its pages, so filling it again costs no page fault, no zeroing and no copy.

use std::{
    collections::TryReserveError,
    mem,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Capacity of the smallest buffers, in bytes; below it malloc is a good pool itself.
const SMALLEST: usize = 4096;
/// Size classes in each doubling: a buffer is at most a quarter larger than was asked for.
const STEPS: usize = 4;
/// How many classes above the wanted one may serve a request of known size: four times as large.
const REACH: usize = 2 * STEPS;

/// What a pool has done since it was made, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Buffers that were taken.
    pub takes: u64,
    /// Takes that were served with memory from the pool; the others allocated.
    pub reuses: u64,
    /// Buffers that are taken and not given back.
    pub live: usize,
    /// Buffers that wait to be taken.
    pub pooled: usize,
    /// The memory of those, in bytes.
    pub pooled_bytes: usize,
}

/// A pool of buffers, bounded in number and bytes; clones share it.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max_buffers: usize,
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    classes: Vec<Class>,
    stats: PoolStats,
}

/// Waiting buffers of about one capacity.
#[derive(Debug, Default)]
struct Class {
    buffers: Vec<Vec<u8>>,
    /// The take that last looked for this class.
    wanted: u64,
}

/// The class of a capacity: of all whose buffers are at most that large, the largest.
fn class_of(capacity: usize) -> usize {
    let capacity = capacity.max(SMALLEST);
    let doubling = capacity.ilog2() as usize;
    let step = (capacity >> (doubling - 2)) & (STEPS - 1);
    (doubling - SMALLEST.ilog2() as usize) * STEPS + step
}

/// The capacity to allocate for `size` bytes, so that the buffer fits its class exactly.
fn rounded(size: usize) -> usize {
    let size = size.max(SMALLEST);
    let step = 1 << (size.ilog2() - 2);
    size.checked_next_multiple_of(step).unwrap_or(size)
}

impl Pool {
    /// An empty pool that keeps at most `max_buffers` buffers of together at most `max_bytes` for later.
    #[must_use]
    pub fn new(max_buffers: usize, max_bytes: usize) -> Self {
        Self(Arc::new(Inner {
            max_buffers,
            max_bytes,
            state: Mutex::default(),
        }))
    }

    /// An empty buffer with room for `size` bytes; 0 where the size is not known.
    ///
    /// # Errors
    ///
    /// There is not that much memory.
    pub fn take(&self, size: usize) -> Result<Pooled, TryReserveError> {
        let memory = if let Some(memory) = self.0.lock().reuse(size) {
            memory
        } else {
            let mut memory = Vec::new();
            // What is too large to be kept need not fit a class.
            let capacity = if size > self.0.max_bytes {
                size
            } else {
                rounded(size)
            };
            memory.try_reserve_exact(capacity)?;
            self.0.lock().stats.live += 1;
            memory
        };
        Ok(Pooled {
            memory,
            pool: Arc::clone(&self.0),
        })
    }

    /// What the pool has done, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.0.lock().stats
    }
}

impl Inner {
    /// A panic under the lock leaves the counters right, so poisoning means nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps memory for later, at the cost of what was wanted least recently; returns what is not kept.
    fn give(&self, mut memory: Vec<u8>) -> Vec<Vec<u8>> {
        memory.clear();
        let mut surplus = Vec::new();
        let mut state = self.lock();
        state.stats.live -= 1;
        let size = memory.capacity();
        if size < SMALLEST || size > self.max_bytes || self.max_buffers == 0 {
            surplus.push(memory);
            return surplus;
        }
        while state.stats.pooled == self.max_buffers
            || state.stats.pooled_bytes > self.max_bytes - size
        {
            let Some(memory) = state.least_wanted() else {
                break;
            };
            surplus.push(memory);
        }
        state.keep(memory);
        surplus
    }
}

impl State {
    fn reuse(&mut self, size: usize) -> Option<Vec<u8>> {
        self.stats.takes += 1;
        let takes = self.stats.takes;
        let first = class_of(rounded(size));
        let reach = if size == 0 { usize::MAX } else { REACH };
        for class in self.classes.iter_mut().skip(first).take(reach) {
            if let Some(memory) = class.buffers.pop_if(|memory| memory.capacity() >= size) {
                class.wanted = takes;
                self.stats.reuses += 1;
                self.stats.live += 1;
                self.stats.pooled -= 1;
                self.stats.pooled_bytes -= memory.capacity();
                return Some(memory);
            }
        }
        None
    }

    fn keep(&mut self, memory: Vec<u8>) {
        let class = class_of(memory.capacity());
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, Class::default);
        }
        self.stats.pooled += 1;
        self.stats.pooled_bytes += memory.capacity();
        if let Some(class) = self.classes.get_mut(class) {
            class.wanted = self.stats.takes;
            class.buffers.push(memory);
        }
    }

    fn least_wanted(&mut self) -> Option<Vec<u8>> {
        let classes = self
            .classes
            .iter_mut()
            .filter(|class| !class.buffers.is_empty());
        let memory = classes.min_by_key(|class| class.wanted)?.buffers.pop()?;
        self.stats.pooled -= 1;
        self.stats.pooled_bytes -= memory.capacity();
        Some(memory)
    }
}

/// A taken buffer: a vector that goes back to its pool when it is dropped, however large it has grown.
#[derive(Debug)]
pub struct Pooled {
    memory: Vec<u8>,
    pool: Arc<Inner>,
}

impl Deref for Pooled {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.memory
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        // Unmapping what is not kept is slow: the lock is free by then.
        drop(self.pool.give(mem::take(&mut self.memory)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_are_a_quarter_of_a_doubling_apart() {
        assert_eq!(class_of(4096), 0);
        assert_eq!(class_of(5119), 0);
        assert_eq!(class_of(5120), 1);
        assert_eq!(class_of(8192), 4);
        assert_eq!(class_of(1 << 20), 32);
        assert_eq!(rounded((1 << 20) + 1), 5 << 18);
        assert_eq!(rounded(usize::MAX), usize::MAX);
    }

    #[test]
    fn memory_comes_back_and_is_used_again() {
        let pool = Pool::new(4, 1 << 20);
        let mut buffer = pool.take(100_000).unwrap();
        buffer.extend_from_slice(b"old");
        let address = buffer.as_ptr();
        drop(buffer);
        let buffer = pool.take(90_000).unwrap();
        assert_eq!((buffer.as_ptr(), buffer.len()), (address, 0));
        let stats = PoolStats {
            takes: 2,
            reuses: 1,
            live: 1,
            pooled: 0,
            pooled_bytes: 0,
        };
        assert_eq!(pool.stats(), stats);
    }

    #[test]
    fn a_buffer_that_grew_serves_the_next_take_of_unknown_size() {
        let pool = Pool::new(4, 1 << 20);
        pool.take(0).unwrap().resize(300_000, 1);
        assert!(pool.take(0).unwrap().capacity() >= 300_000);
        assert!(pool.take(5000).unwrap().capacity() < 300_000);
    }

    #[test]
    fn what_was_wanted_least_recently_makes_room() {
        let pool = Pool::new(1, 1 << 20);
        drop(pool.take(5000));
        drop(pool.take(50_000));
        assert!(pool.stats().pooled_bytes >= 50_000);
        assert_eq!(pool.stats().pooled, 1);
    }

    #[test]
    fn too_much_is_an_error() {
        let pool = Pool::new(4, usize::MAX);
        assert!(pool.take(usize::MAX).is_err());
        assert!(pool.take(isize::MAX.unsigned_abs() - 4096).is_err());
        assert_eq!(
            pool.stats(),
            PoolStats {
                takes: 2,
                ..PoolStats::default()
            }
        );
    }

    proptest! {
        #[test]
        fn every_class_serves_what_is_rounded_up_to_it(size in 0usize..1 << 40) {
            let capacity = rounded(size);
            prop_assert!(capacity >= size && capacity <= SMALLEST.max(size + size / 4));
            prop_assert_eq!(rounded(capacity), capacity);
            prop_assert!(capacity == SMALLEST || class_of(capacity - 1) < class_of(capacity));
        }

        #[test]
        fn limits_hold_and_every_take_gets_room(
            steps in prop::collection::vec((0usize..200_000, 0usize..8, any::<bool>()), 1..200),
        ) {
            let pool = Pool::new(3, 300_000);
            let mut live = Vec::new();
            for (takes, (size, which, give)) in (1u64..).zip(steps) {
                let buffer = pool.take(size).unwrap();
                prop_assert!(buffer.capacity() >= size && buffer.is_empty());
                live.push(buffer);
                if give {
                    drop(live.swap_remove(which % live.len()));
                }
                let stats = pool.stats();
                prop_assert!(stats.pooled <= 3 && stats.pooled_bytes <= 300_000);
                prop_assert_eq!((stats.live, stats.takes), (live.len(), takes));
            }
        }
    }
}
