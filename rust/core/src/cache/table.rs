//! The entries of one shard; what holds the lock works here.

use super::{
    Dropped, Key,
    budget::Budget,
    clock::Millis,
    entry::Entry,
    key::KeyHasher,
    list::at,
    policy::Policy,
    recent::Recent,
    slots::{NONE, Slots},
    sync::Sharing,
};

/// Slots that a change looks at while some entry's time is over.
const SWEEP: usize = 4;

/// A key and value on their way into a table.
pub(super) struct New<'a, V> {
    pub(super) key: &'a Key,
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
    slots: Slots<Entry<V>>,
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
            slots: Slots::default(),
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
        self.slots.find(hash, |entry| entry.has(key))
    }

    /// Fetches what a look-up of this hash reads.
    #[inline]
    pub(super) fn fetch<S: Sharing>(&self, hash: u64) {
        self.slots.fetch::<S>(hash);
    }

    /// Looks a key up.
    #[inline]
    pub(super) fn get(&self, hash: u64, key: &Key, now: impl FnOnce() -> Millis) -> Found<'_, V> {
        let slot = self.find(hash, key);
        let Some(entry) = self.slots.nodes.get(slot as usize) else {
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
                .nodes
                .get(slot as usize)
                .filter(|entry| entry.value.is_some())
            {
                let hash = self.hasher.hash(&entry.key());
                self.policy.touched(&mut self.slots.nodes, slot, hash);
            }
        }
        self.hits_seen = recent.count();
    }

    /// Stores an entry in the place of an older one, or beside the others where there is room.
    ///
    /// Gives it back where there is no room, and too little here to evict.
    pub(super) fn put<'a>(
        &mut self,
        new: New<'a, V>,
        now: Millis,
        budget: &Budget,
        dropped: &mut Dropped<V>,
    ) -> Option<New<'a, V>> {
        self.sweep(now, budget, dropped);
        let slot = self.find(new.hash, new.key);
        if let Some(entry) = at(&mut self.slots.nodes, slot) {
            if now < entry.expires() && budget.resize(entry.size(), new.size) {
                dropped.extend(entry.replace(new.value, new.expires, new.size));
                self.policy.touched(&mut self.slots.nodes, slot, new.hash);
                self.expires_at(new.expires);
                return None;
            }
            self.expirations += u64::from(entry.expires() <= now);
            self.take(slot, budget, dropped);
        }
        while !budget.take(new.size) {
            let few = (self.len() as u64) < budget.small_part();
            let victim = if few { NONE } else { self.victim() };
            let Some(entry) = at(&mut self.slots.nodes, victim) else {
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

    fn add(&mut self, new: New<'_, V>) {
        let hasher = &self.hasher;
        let moved = self
            .slots
            .room(self.most, |entry| hasher.hash(&entry.key()), Entry::free);
        if let Some(moved) = moved {
            self.policy.follow(&moved);
            self.sweep_anew();
        }
        let slot = self.slots.take(new.hash);
        if let Some(place) = at(&mut self.slots.nodes, slot) {
            *place = Entry::new(new.key, new.value, new.expires, new.size);
        }
        self.policy.added(&mut self.slots.nodes, slot, new.hash);
        self.expires_at(new.expires);
    }

    fn expires_at(&mut self, expires: Millis) {
        self.next_expiry = self.next_expiry.min(expires);
        self.swept_expiry = self.swept_expiry.min(expires);
    }

    /// Takes an entry out and gives its room back.
    fn take(&mut self, slot: u32, budget: &Budget, dropped: &mut Dropped<V>) {
        if let Some(entry) = at(&mut self.slots.nodes, slot) {
            budget.give(entry.size());
            self.unlink(slot, dropped);
        }
    }

    /// Takes an entry out whose room somebody else has.
    fn unlink(&mut self, slot: u32, dropped: &mut Dropped<V>) {
        let Some(entry) = at(&mut self.slots.nodes, slot) else {
            return;
        };
        if let Some(value) = entry.value.take() {
            dropped.push(value);
        }
        let hash = self.hasher.hash(&entry.key());
        self.policy.removed(&mut self.slots.nodes, slot);
        self.slots.free(hash, slot);
    }

    /// The slot of the entry that matters least, or [`NONE`].
    fn victim(&mut self) -> u32 {
        let hasher = &self.hasher;
        self.policy
            .victim(&mut self.slots.nodes, |entry| hasher.hash(&entry.key()))
    }

    /// Drops the entry that matters least, if there is any.
    pub(super) fn evict(&mut self, budget: &Budget, dropped: &mut Dropped<V>) {
        let slot = self.victim();
        if slot != NONE {
            self.evictions += 1;
            self.take(slot, budget, dropped);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.used()
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
        let Some(entry) = at(&mut self.slots.nodes, slot) else {
            return false;
        };
        let live = now < entry.expires();
        self.expirations += u64::from(!live);
        self.take(slot, budget, dropped);
        live
    }

    /// Begins the sweep at the first slot. What the last one has passed cannot be told any more.
    fn sweep_anew(&mut self) {
        self.swept_expiry = Millis::MAX;
        self.sweep_at = 0;
    }

    /// Looks for expired entries in the next few slots.
    fn sweep(&mut self, now: Millis, budget: &Budget, dropped: &mut Dropped<V>) {
        if now < self.next_expiry {
            return;
        }
        for _ in 0..SWEEP {
            let Some(entry) = self.slots.nodes.get(self.sweep_at) else {
                self.next_expiry = self.swept_expiry;
                self.sweep_anew();
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
        for entry in &mut self.slots.nodes {
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
            .nodes
            .iter()
            .filter_map(|entry| entry.value.as_ref())
            .try_for_each(show)
    }
}
