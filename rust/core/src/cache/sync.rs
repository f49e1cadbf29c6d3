//! The standard library's lock and atomics, or loom's where the model checker runs (`--cfg loom`).

#[cfg(loom)]
use loom::sync::RwLock as Inner;
#[cfg(loom)]
pub(super) use loom::sync::{
    RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
#[cfg(not(loom))]
use std::sync::RwLock as Inner;
#[cfg(not(loom))]
pub(super) use std::sync::{
    RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use std::sync::{PoisonError, TryLockError};

/// A lock that many hits share and one change holds alone.
///
/// It does not poison: what runs under it is this module and the caller's copying of one value, and a table is
/// whole before and after each.
#[derive(Debug)]
pub(super) struct RwLock<T>(Inner<T>);

impl<T> RwLock<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        match self.0.try_read() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
