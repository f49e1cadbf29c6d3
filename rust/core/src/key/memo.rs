//! Remembers the keys of bodies by their bytes, so that bytes seen before need no parsing.
//!
//! An entry answers only for exactly the bytes it was made from: the 64-bit hash finds it, a full comparison of
//! scope and body decides. Two bodies with one hash displace each other; they never share an answer.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use super::{Digest, Scope};

/// A bounded map from scope and body to key; what was remembered first is forgotten first.
///
/// `B` is how a body is held. What falls out is handed back, so that the caller can drop it when no lock is held.
pub struct Memo<B> {
    secrets: RapidSecrets,
    entries: HashMap<u64, Entry<B>, BuildHasherDefault<AsItIs>>,
    order: VecDeque<u64>,
    bytes: usize,
    max_bytes: usize,
}

struct Entry<B> {
    scope: Scope,
    body: B,
    key: Digest,
}

impl<B: AsRef<[u8]>> Entry<B> {
    fn bytes(&self) -> usize {
        const OVERHEAD: usize = 256;
        self.scope.as_bytes().len() + self.body.as_ref().len() + OVERHEAD
    }
}

impl<B: AsRef<[u8]>> Memo<B> {
    /// A memo that holds at most `max_bytes` of scopes and bodies, hashed with `seed`.
    #[must_use]
    pub fn new(max_bytes: usize, seed: u64) -> Self {
        let secrets = RapidSecrets::seed(seed);
        Self {
            secrets,
            entries: HashMap::default(),
            order: VecDeque::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// The name under which a body is looked up and remembered.
    #[must_use]
    pub fn slot(&self, scope: &Scope, body: &[u8]) -> u64 {
        let of_scope = rapidhash_v3_seeded(scope.as_bytes(), &self.secrets);
        rapidhash_v3_seeded(body, &self.secrets) ^ of_scope.rotate_left(32)
    }

    /// The key of this body in this scope, if it is remembered.
    #[must_use]
    pub fn get(&self, slot: u64, scope: &Scope, body: &[u8]) -> Option<Digest> {
        let entry = self.entries.get(&slot)?;
        (entry.body.as_ref() == body && entry.scope == *scope).then_some(entry.key)
    }

    /// Remembers a key; gives back what had to go.
    pub fn put(&mut self, slot: u64, scope: Scope, body: B, key: Digest) -> Vec<B> {
        let entry = Entry { scope, body, key };
        let size = entry.bytes();
        if size > self.max_bytes / 4 {
            return vec![entry.body];
        }
        let mut gone = Vec::new();
        self.bytes += size;
        match self.entries.insert(slot, entry) {
            Some(old) => {
                self.bytes -= old.bytes();
                gone.push(old.body);
            }
            None => self.order.push_back(slot),
        }
        while self.bytes > self.max_bytes {
            let Some(old) = self
                .order
                .pop_front()
                .and_then(|slot| self.entries.remove(&slot))
            else {
                break;
            };
            self.bytes -= old.bytes();
            gone.push(old.body);
        }
        gone
    }
}

/// The slots are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(url: &str) -> Scope {
        Scope::new("", b"", url, [])
    }

    #[test]
    fn only_the_same_bytes_in_the_same_scope_are_answered() {
        let mut memo = Memo::new(1 << 20, 7);
        assert!(
            memo.put(1, scope("a"), b"body".to_vec(), [1; 32])
                .is_empty()
        );
        assert_eq!(memo.get(1, &scope("a"), b"body"), Some([1; 32]));
        // A collision of hashes: the same slot, another body or scope.
        assert_eq!(memo.get(1, &scope("a"), b"bodY"), None);
        assert_eq!(memo.get(1, &scope("b"), b"body"), None);
        assert_eq!(
            memo.put(1, scope("a"), b"bodY".to_vec(), [2; 32]),
            [b"body".to_vec()]
        );
        assert_eq!(memo.get(1, &scope("a"), b"body"), None);
        assert_eq!(memo.get(1, &scope("a"), b"bodY"), Some([2; 32]));
    }

    #[test]
    fn it_stays_within_its_bytes() {
        let mut memo = Memo::new(10_000, 7);
        let mut given_back = 0;
        for i in 0..100_u64 {
            given_back += memo.put(i, scope("a"), vec![0; 1000], [0; 32]).len();
            assert!(memo.bytes <= 10_000);
            assert_eq!(memo.entries.len(), memo.order.len());
        }
        assert_eq!(given_back + memo.entries.len(), 100);
        assert!(memo.entries.len() > 5);
        assert_eq!(memo.get(0, &scope("a"), &[0; 1000]), None);
        assert_eq!(memo.get(99, &scope("a"), &[0; 1000]), Some([0; 32]));
        assert_eq!(
            memo.put(100, scope("a"), vec![0; 3000], [0; 32]).len(),
            1,
            "one body may not push all others out"
        );
    }
}
