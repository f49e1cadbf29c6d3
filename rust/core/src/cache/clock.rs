//! Time for expiry: coarse, monotonic, and passed in.

use std::time::Duration;

/// Milliseconds since some moment before the cache was made.
pub type Millis = u64;

/// Where time ends, after some 8900 years: what would expire then or later never does.
pub const END: Millis = (1 << 48) - 1;

/// Where a cache reads the time. It is read while a shard is locked: it must be quick, and must not call the cache.
pub trait Clock {
    /// The present moment, before [`END`]; never less than what it said before.
    fn now(&self) -> Millis;
}

/// The system's monotonic clock; on Linux the coarse one, which costs a few nanoseconds and lags by some milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    #[inline]
    fn now(&self) -> Millis {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::MonotonicCoarse);
        time.tv_sec.unsigned_abs() * 1000 + time.tv_nsec.unsigned_abs() / 1_000_000
    }

    #[cfg(not(target_os = "linux"))]
    fn now(&self) -> Millis {
        use std::{sync::LazyLock, time::Instant};
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        u64::try_from(START.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }
}

/// How long an entry is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// As long as the cache has room.
    Never,
    /// For at least one millisecond.
    For(Duration),
}

impl Ttl {
    /// The moment from which an entry of this age is no longer served.
    pub(super) fn from(self, now: Millis) -> Millis {
        match self {
            Self::Never => Millis::MAX,
            Self::For(time) => {
                let part = time.subsec_nanos().div_ceil(1_000_000);
                let millis = time
                    .as_secs()
                    .saturating_mul(1000)
                    .saturating_add(part.into());
                now.saturating_add(millis.max(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_rounded_up_and_never_overflows() {
        let until = |nanos| Ttl::For(Duration::from_nanos(nanos)).from(10);
        assert_eq!(until(0), 11);
        assert_eq!(until(1_000_001), 12);
        assert_eq!(Ttl::For(Duration::MAX).from(10), Millis::MAX);
        assert_eq!(Ttl::Never.from(10), Millis::MAX);
    }
}
