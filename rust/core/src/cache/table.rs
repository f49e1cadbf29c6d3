//! The entries of one shard and the index to them; what holds the lock works here.

use super::{
    Dropped, Key,
    budget::Budget,
    clock::Millis,
    entry::Entry,
    index::{Index, NONE},
    key::KeyHasher,
    list::at,
    policy::Policy,
    recent::Recent,
};

/// Slots that a change looks at while some entry's time is over.
const SWEEP: usize = 4;

/// A key and value on their way into a table.
pub(super) struct New<V> {
    pub(super) key: Key,
    pub(super) hash: u64,
    pub(super) value: V,
    pub(super) expires: Millis,
    pub(super) size: u64,
}

/// What a look-up found.
pub(super) enum Found<'a, V> {
    /// A slot and its value.
    Live(u32, &'a V),
    Expired,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Table<V> {
    slots: Vec<Entry<V>>,
    free: Vec<u32>,
    index: Index,
    policy: Policy,
    hasher: KeyHasher,
    /// How many hits the policy was told of, or can no longer be.
    hits_seen: u64,
    /// No entry expires before this.
    next_expiry: Millis,
    /// The same for the slots that the sweep has passed since it began anew.
    swept_expiry: Millis,
    sweep_at: usize,
    /// How many entries there will be, roughly.
    most: usize,
    pub(super) evictions: u64,
    pub(super) expirations: u64,
}

impl<V> Table<V> {
    pub(super) fn new(most: usize, hasher: KeyHasher) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: Index::default(),
            policy: Policy::new(most),
            hasher,
            hits_seen: 0,
            next_expiry: Millis::MAX,
            swept_expiry: Millis::MAX,
            sweep_at: 0,
            most,
            evictions: 0,
            expirations: 0,
        }
    }

    #[inline]
    fn find(&self, hash: u64, key: &Key) -> u32 {
        self.index.find(hash, |slot| {
            self.slots
                .get(slot as usize)
                .is_some_and(|entry| entry.has(key))
        })
    }

    /// Looks a key up.
    #[inline]
    pub(super) fn get(&self, hash: u64, key: &Key, now: impl FnOnce() -> Millis) -> Found<'_, V> {
        let slot = self.find(hash, key);
        let Some(entry) = self.slots.get(slot as usize) else {
            return Found::Nothing;
        };
        let expires = entry.expires();
        if expires != Millis::MAX && expires <= now() {
            return Found::Expired;
        }
        entry
            .value
            .as_ref()
            .map_or(Found::Nothing, |value| Found::Live(slot, value))
    }

    /// Tells the policy of the hits since the last change.
    pub(super) fn catch_up(&mut self, recent: &Recent) {
        for slot in recent.since(self.hits_seen) {
            if let Some(entry) = self
                .slots
                .get(slot as usize)
                .filter(|entry| entry.value.is_some())
            {
                let hash = self.hasher.hash(&entry.key());
                self.policy.touched(&mut self.slots, slot, hash);
            }
        }
        self.hits_seen = recent.count();
    }

    /// Stores an entry in the place of an older one, or beside the others where there is room.
    ///
    /// Gives it back where there is no room and nothing here to evict.
    pub(super) fn put(
        &mut self,
        new: New<V>,
        now: Millis,
        budget: &Budget,
        dropped: &mut Dropped<V>,
    ) -> Option<New<V>> {
        self.sweep(now, budget, dropped);
        let slot = self.find(new.hash, &new.key);
        if let Some(entry) = at(&mut self.slots, slot) {
            if now < entry.expires() && budget.resize(entry.size(), new.size) {
                dropped.extend(entry.replace(new.value, new.expires, new.size));
                self.policy.touched(&mut self.slots, slot, new.hash);
                self.expires_at(new.expires);
                return None;
            }
            self.expirations += u64::from(entry.expires() <= now);
            self.take(slot, budget, dropped);
        }
        while !budget.take(new.size) {
            let victim = self.victim();
            let Some(entry) = at(&mut self.slots, victim) else {
                return Some(new);
            };
            self.evictions += 1;
            // Usually the new entry just takes the room over.
            if budget.resize(entry.size(), new.size) {
                self.unlink(victim, dropped);
                break;
            }
            self.take(victim, budget, dropped);
        }
        self.add(new);
        None
    }

    fn add(&mut self, new: New<V>) {
        let entry = Entry::new(&new.key, new.value, new.expires, new.size);
        let slot = if let Some(slot) = self.free.pop() {
            if let Some(free) = at(&mut self.slots, slot) {
                *free = entry;
            }
            slot
        } else {
            self.slots.push(entry);
            u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
        };
        self.index.insert(new.hash, slot, self.most);
        self.policy.added(&mut self.slots, slot, new.hash);
        self.expires_at(new.expires);
    }

    fn expires_at(&mut self, expires: Millis) {
        self.next_expiry = self.next_expiry.min(expires);
        self.swept_expiry = self.swept_expiry.min(expires);
    }

    /// Takes an entry out and gives its room back.
    fn take(&mut self, slot: u32, budget: &Budget, dropped: &mut Dropped<V>) {
        if let Some(entry) = at(&mut self.slots, slot) {
            budget.give(entry.size());
            self.unlink(slot, dropped);
        }
    }

    /// Takes an entry out whose room somebody else has.
    fn unlink(&mut self, slot: u32, dropped: &mut Dropped<V>) {
        let Some(entry) = at(&mut self.slots, slot) else {
            return;
        };
        dropped.extend(entry.value.take());
        let hash = self.hasher.hash(&entry.key());
        self.index.remove(hash, slot);
        self.policy.removed(&mut self.slots, slot);
        self.free.push(slot);
    }

    /// The slot of the entry that matters least, or [`NONE`].
    fn victim(&mut self) -> u32 {
        let hasher = &self.hasher;
        self.policy
            .victim(&mut self.slots, |entry| hasher.hash(&entry.key()))
    }

    /// Drops the entry that matters least; false where there is none.
    pub(super) fn evict(&mut self, budget: &Budget, dropped: &mut Dropped<V>) -> bool {
        let slot = self.victim();
        if slot == NONE {
            return false;
        }
        self.evictions += 1;
        self.take(slot, budget, dropped);
        true
    }

    /// Takes an entry out and says whether it was live.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        key: &Key,
        now: Millis,
        budget: &Budget,
        dropped: &mut Dropped<V>,
    ) -> bool {
        let slot = self.find(hash, key);
        let Some(entry) = at(&mut self.slots, slot) else {
            return false;
        };
        let live = now < entry.expires();
        self.expirations += u64::from(!live);
        self.take(slot, budget, dropped);
        live
    }

    /// Looks for expired entries in the next few slots.
    fn sweep(&mut self, now: Millis, budget: &Budget, dropped: &mut Dropped<V>) {
        if now < self.next_expiry {
            return;
        }
        for _ in 0..SWEEP {
            let Some(entry) = self.slots.get(self.sweep_at) else {
                self.next_expiry = self.swept_expiry;
                self.swept_expiry = Millis::MAX;
                self.sweep_at = 0;
                return;
            };
            if entry.value.is_some() {
                let expires = entry.expires();
                if now < expires {
                    self.swept_expiry = self.swept_expiry.min(expires);
                } else {
                    self.expirations += 1;
                    self.take(
                        u32::try_from(self.sweep_at).unwrap_or(NONE),
                        budget,
                        dropped,
                    );
                }
            }
            self.sweep_at += 1;
        }
    }

    /// A moment before which no entry expires.
    pub(super) fn next_expiry(&self) -> Millis {
        self.next_expiry
    }

    /// Drops every expired entry.
    pub(super) fn purge(&mut self, now: Millis, budget: &Budget, dropped: &mut Dropped<V>) {
        while self.next_expiry <= now {
            self.sweep(now, budget, dropped);
        }
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self, budget: &Budget, dropped: &mut Dropped<V>) {
        for entry in &mut self.slots {
            if let Some(value) = entry.value.take() {
                budget.give(entry.size());
                dropped.push(value);
            }
        }
        let empty = Self::new(self.most, self.hasher.clone());
        let Self {
            hits_seen,
            evictions,
            expirations,
            ..
        } = *self;
        *self = Self {
            hits_seen,
            evictions,
            expirations,
            ..empty
        };
    }

    /// Shows every value, expired or not, until there is an error.
    pub(super) fn try_for_each<E>(&self, show: impl FnMut(&V) -> Result<(), E>) -> Result<(), E> {
        self.slots
            .iter()
            .filter_map(|entry| entry.value.as_ref())
            .try_for_each(show)
    }
}
