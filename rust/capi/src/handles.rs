//! Handles: tickets for what the library owns, in the guise of pointers that are never followed.
//!
//! A ticket is given out once in the life of the process, over all kinds, so a stale or foreign one is always found
//! out. Whoever uses an object holds a share of it, so that freeing it meanwhile harms nobody.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::status::{Code, Failure};

/// The next ticket; never 0.
static NEXT: AtomicUsize = AtomicUsize::new(1);

type Objects<T> = HashMap<usize, Arc<T>, BuildHasherDefault<Spread>>;

/// All objects of one kind.
#[derive(Debug)]
pub(crate) struct Handles<T> {
    kind: &'static str,
    objects: RwLock<Option<Objects<T>>>,
}

impl<T> Handles<T> {
    pub(crate) const fn new(kind: &'static str) -> Self {
        let objects = RwLock::new(None);
        Self { kind, objects }
    }

    /// A new ticket for an object.
    pub(crate) fn give<H>(&self, object: T) -> *mut H {
        let ticket = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        objects
            .get_or_insert_default()
            .insert(ticket, Arc::new(object));
        std::ptr::without_provenance_mut(ticket)
    }

    /// The object of a ticket.
    pub(crate) fn get<H>(&self, ticket: *mut H) -> Result<Arc<T>, Failure> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let object = objects.as_ref().and_then(|all| all.get(&ticket.addr()));
        object.cloned().ok_or_else(|| self.unknown(ticket))
    }

    /// Ends a ticket; its object goes when nobody uses it any more.
    pub(crate) fn end<H>(&self, ticket: *mut H) -> Result<(), Failure> {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        let object = objects.as_mut().and_then(|all| all.remove(&ticket.addr()));
        drop(objects); // the object is dropped outside the lock
        object.map(drop).ok_or_else(|| self.unknown(ticket))
    }

    fn unknown<H>(&self, ticket: *mut H) -> Failure {
        let kind = self.kind;
        let text = if ticket.is_null() {
            format!("the {kind} is NULL")
        } else {
            format!("{ticket:?} is no {kind}, or one that was freed")
        };
        Failure(Code::BadHandle, text)
    }
}

/// Tickets are counted, so one multiplication spreads them.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, ticket: usize) {
        self.0 = (self.0 ^ ticket as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::ptr::{dangling_mut, null_mut};

    use super::*;

    static NUMBERS: Handles<u32> = Handles::new("number");
    static WORDS: Handles<&str> = Handles::new("word");

    #[test]
    fn only_a_live_ticket_of_the_kind_is_good() {
        let seven: *mut u8 = NUMBERS.give(7);
        assert_eq!(*NUMBERS.get(seven).unwrap(), 7);
        assert_eq!(WORDS.get(seven).unwrap_err().0, Code::BadHandle);
        assert_eq!(WORDS.end(seven).unwrap_err().0, Code::BadHandle);
        let in_use = NUMBERS.get(seven).unwrap();
        NUMBERS.end(seven).unwrap();
        assert_eq!(*in_use, 7);
        for bad in [seven, null_mut(), dangling_mut::<u8>().wrapping_add(12345)] {
            assert_eq!(NUMBERS.get(bad).unwrap_err().0, Code::BadHandle);
            assert_eq!(NUMBERS.end(bad).unwrap_err().0, Code::BadHandle);
        }
    }

    #[test]
    fn tickets_are_never_given_twice() {
        let give_and_end = || {
            let mut seen = Vec::new();
            for n in 0..200 {
                let ticket: *mut u8 = NUMBERS.give(n);
                seen.push(ticket.addr());
                NUMBERS.end(ticket).unwrap();
            }
            seen
        };
        let threads = [(); 4].map(|()| std::thread::spawn(give_and_end));
        let seen: Vec<usize> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 800);
    }
}
