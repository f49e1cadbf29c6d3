//! Reusable memory for large, short-lived buffers.
//!
//! A buffer that is given back keeps its pages, so filling it again costs no page fault, no zeroing and no copy.
//!
//! Nobody waits for a pool: one that stays in use counts as exhausted. So a process does not hang either that was
//! forked while another thread of its parent was using the pool.

use std::{
    collections::TryReserveError,
    hint, mem,
    ops::{Deref, DerefMut},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, TryLockError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Capacity of the smallest buffers, in bytes; below it malloc is a good pool itself.
const SMALLEST: usize = 4096;
/// Size classes in each doubling: a buffer is at most a quarter larger than was asked for.
const STEPS: usize = 4;
/// How many classes above the wanted one may serve a request of known size: four times as large.
const REACH: usize = 2 * STEPS;
/// How often somebody looks again who finds a pool in use: it is for some ten nanoseconds at a time.
const LOOKS: usize = 100;

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
    classes: Mutex<Vec<Class>>,
    counts: Counts,
    /// Takes and gives that the counts above miss, because the lock was not to be had.
    missed: (AtomicUsize, AtomicUsize),
}

/// Changed under the lock, and read without it.
#[derive(Debug, Default)]
struct Counts {
    takes: AtomicUsize,
    reuses: AtomicUsize,
    gives: AtomicUsize,
    pooled: AtomicUsize,
    pooled_bytes: AtomicUsize,
}

/// Adds to a count under the lock: nobody else changes it meanwhile, so it need not be one step.
fn add(count: &AtomicUsize, more: usize) -> usize {
    let sum = count.load(Relaxed).wrapping_add(more);
    count.store(sum, Relaxed);
    sum
}

fn subtract(count: &AtomicUsize, less: usize) {
    add(count, less.wrapping_neg());
}

/// Waiting buffers of about one capacity. Their lengths are what was written to them: that much is initialised.
#[derive(Debug, Default)]
struct Class {
    buffers: Vec<Vec<u8>>,
    /// The take that last looked for this class.
    wanted: usize,
}

/// Which of the waiting buffers serves a take.
#[derive(Clone, Copy)]
pub(crate) enum Fit {
    /// One that is no larger than what would be allocated, or by less than a class.
    Exact,
    /// The smallest that is not much larger.
    Close,
    /// The smallest.
    Any,
    /// The largest: whoever takes it does not know how much it will hold.
    Largest,
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
            classes: Mutex::default(),
            counts: Counts::default(),
            missed: Default::default(),
        }))
    }

    /// The pool of the process, which keeps at most 64 buffers of together at most 64 MiB: canonical writing, file
    /// searches and copies of request bodies take their memory from it.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Pool> = LazyLock::new(|| Pool::new(64, 64 << 20));
        &SHARED
    }

    /// An empty buffer with room for `size` bytes; 0 where the size is not known.
    ///
    /// # Errors
    ///
    /// There is not that much memory.
    pub fn take(&self, size: usize) -> Result<Pooled, TryReserveError> {
        let fit = if size == 0 { Fit::Any } else { Fit::Close };
        let mut memory = self.0.lend(size, fit)?;
        memory.clear();
        Ok(Pooled {
            memory,
            pool: Arc::clone(&self.0),
        })
    }

    /// A buffer of `size` bytes that are whatever was written there last.
    ///
    /// # Errors
    ///
    /// There is not that much memory.
    pub fn take_filled(&self, size: usize) -> Result<Pooled, TryReserveError> {
        let mut memory = self.0.lend(size, Fit::Close)?;
        memory.resize(size, 0);
        Ok(Pooled {
            memory,
            pool: Arc::clone(&self.0),
        })
    }

    /// Memory of at least `size` initialised bytes, for [`Pool::give_back`].
    pub(crate) fn lend(&self, size: usize, fit: Fit) -> Vec<u8> {
        let mut memory = self.0.lend(size, fit).unwrap_or_default();
        if memory.len() < size {
            memory.resize(size, 0); // aborts where there is no memory, as all collections do
        }
        memory
    }

    /// Takes back what [`Pool::lend`] gave.
    pub(crate) fn give_back(&self, memory: Vec<u8>) {
        // Unmapping what is not kept is slow: the lock is free by then.
        drop(self.0.give(memory));
    }

    /// What the pool has done, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let Counts {
            takes,
            reuses,
            gives,
            pooled,
            pooled_bytes,
        } = &self.0.counts;
        let (missed_takes, missed_gives) = &self.0.missed;
        let gives = gives.load(Relaxed) + missed_gives.load(Relaxed);
        let takes = takes.load(Relaxed) + missed_takes.load(Relaxed);
        PoolStats {
            takes: takes as u64,
            reuses: reuses.load(Relaxed) as u64,
            live: takes.saturating_sub(gives),
            pooled: pooled.load(Relaxed),
            pooled_bytes: pooled_bytes.load(Relaxed),
        }
    }
}

impl Inner {
    /// The lists, unless they stay in use.
    fn lock(&self) -> Option<MutexGuard<'_, Vec<Class>>> {
        for _ in 0..LOOKS {
            match self.classes.try_lock() {
                Ok(classes) => return Some(classes),
                // A panic under the lock leaves the lists right, so poisoning means nothing.
                Err(TryLockError::Poisoned(classes)) => return Some(classes.into_inner()),
                Err(TryLockError::WouldBlock) => hint::spin_loop(),
            }
        }
        None
    }

    fn lend(&self, size: usize, fit: Fit) -> Result<Vec<u8>, TryReserveError> {
        let waiting = if let Some(mut classes) = self.lock() {
            self.reuse(&mut classes, size, fit)
        } else {
            self.missed.0.fetch_add(1, Relaxed);
            None
        };
        if let Some(memory) = waiting {
            return Ok(memory);
        }
        // What is too large to be kept need not fit a class.
        let capacity = if size > self.max_bytes {
            size
        } else {
            rounded(size)
        };
        let mut memory = Vec::new();
        memory.try_reserve_exact(capacity).inspect_err(|_| {
            self.missed.1.fetch_add(1, Relaxed);
        })?;
        Ok(memory)
    }

    fn reuse(&self, classes: &mut [Class], size: usize, fit: Fit) -> Option<Vec<u8>> {
        let takes = add(&self.counts.takes, 1);
        let classes = classes.get_mut(class_of(rounded(size))..)?;
        let suits = |class: &mut Class| {
            let memory = class.buffers.pop_if(|memory| memory.capacity() >= size)?;
            class.wanted = takes;
            Some(memory)
        };
        let memory = match fit {
            Fit::Exact => classes.iter_mut().take(1).find_map(suits),
            Fit::Close => classes.iter_mut().take(REACH).find_map(suits),
            Fit::Any => classes.iter_mut().find_map(suits),
            Fit::Largest => classes.iter_mut().rev().find_map(suits),
        }?;
        add(&self.counts.reuses, 1);
        subtract(&self.counts.pooled, 1);
        subtract(&self.counts.pooled_bytes, memory.capacity());
        Some(memory)
    }

    /// Keeps memory for later, at the cost of what was wanted least recently; returns what is not kept.
    fn give(&self, memory: Vec<u8>) -> Vec<Vec<u8>> {
        let mut surplus = Vec::new();
        let Some(mut classes) = self.lock() else {
            self.missed.1.fetch_add(1, Relaxed);
            surplus.push(memory);
            return surplus;
        };
        let counts = &self.counts;
        add(&counts.gives, 1);
        let size = memory.capacity();
        if size < SMALLEST || size > self.max_bytes || self.max_buffers == 0 {
            surplus.push(memory);
            return surplus;
        }
        while counts.pooled.load(Relaxed) == self.max_buffers
            || counts.pooled_bytes.load(Relaxed) > self.max_bytes - size
        {
            let Some(memory) = self.least_wanted(&mut classes) else {
                break;
            };
            surplus.push(memory);
        }
        let class = class_of(size);
        if classes.len() <= class {
            classes.resize_with(class + 1, Class::default);
        }
        add(&counts.pooled, 1);
        add(&counts.pooled_bytes, size);
        if let Some(class) = classes.get_mut(class) {
            class.wanted = counts.takes.load(Relaxed);
            class.buffers.push(memory);
        }
        surplus
    }

    fn least_wanted(&self, classes: &mut [Class]) -> Option<Vec<u8>> {
        let classes = classes.iter_mut().filter(|class| !class.buffers.is_empty());
        let memory = classes.min_by_key(|class| class.wanted)?.buffers.pop()?;
        subtract(&self.counts.pooled, 1);
        subtract(&self.counts.pooled_bytes, memory.capacity());
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
    fn a_pool_that_stays_in_use_is_exhausted_and_says_so() {
        let pool = Pool::new(4, 1 << 20);
        let early = pool.take(10_000).unwrap();
        let lists = pool.0.lock(); // for good, as in a process that was forked meanwhile
        let buffer = pool.take(10_000).unwrap();
        assert!(buffer.capacity() >= 10_000);
        drop(early);
        let stats = PoolStats {
            takes: 2,
            live: 1,
            ..PoolStats::default()
        };
        assert_eq!(pool.stats(), stats);
        drop(lists);
        drop(buffer);
        assert_eq!((pool.stats().live, pool.stats().pooled), (0, 1));
    }

    #[test]
    fn a_filled_buffer_has_its_size_and_a_taken_one_is_empty() {
        let pool = Pool::new(4, 1 << 20);
        pool.take_filled(10_000).unwrap().fill(7);
        assert_eq!(*pool.take_filled(9999).unwrap(), [7; 9999]);
        assert_eq!(pool.take_filled(10_001).unwrap().len(), 10_001);
        assert!(pool.take(9000).unwrap().is_empty());
        assert!(pool.take_filled(usize::MAX).is_err());
        let larger = pool.lend(20_000, Fit::Largest);
        assert!(larger.len() >= 20_000);
        pool.give_back(larger);
        assert!(pool.lend(5000, Fit::Largest).capacity() >= 20_000);
        assert_eq!(pool.stats().live, 1);
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
