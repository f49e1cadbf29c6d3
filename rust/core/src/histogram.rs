//! Counts of values by their size, from which percentiles are told.
//!
//! The idea is that of `HdrHistogram` (Tene, 2012): the first bits of a float, its exponent among them, are its bucket,
//! so that buckets are as fine at a microsecond as at an hour.

use std::collections::BTreeMap;

/// Bits of a float that its bucket leaves out: 64 buckets for each doubling, so a percentile is off by 1 % at most.
const SHIFT: u32 = 46;

/// How many values there were of each size.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    buckets: BTreeMap<u64, u64>,
    count: u64,
    total: f64,
    highest: f64,
}

impl Histogram {
    /// Counts a value. What is negative or not a number is counted as 0.
    pub fn add(&mut self, value: f64) {
        let value = if value > 0.0 { value } else { 0.0 };
        *self.buckets.entry(value.to_bits() >> SHIFT).or_default() += 1;
        self.count += 1;
        self.total += value;
        self.highest = self.highest.max(value);
    }

    /// How many values there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; 0 where there were none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    pub fn mean(&self) -> f64 {
        self.total / self.count.max(1) as f64
    }

    /// The highest of them, exactly; 0 where there were none.
    #[must_use]
    pub const fn highest(&self) -> f64 {
        self.highest
    }

    /// The value that a share of them, from 0 to 1, does not exceed, within 1 %; 0 where there were none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn percentile(&self, share: f64) -> f64 {
        let wanted = share * self.count as f64;
        let mut seen = 0;
        for (&bucket, &count) in &self.buckets {
            seen += count;
            if seen as f64 >= wanted {
                let middle = f64::from_bits((2 * bucket + 1) << (SHIFT - 1));
                return middle.min(self.highest);
            }
        }
        self.highest
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what comes out is what went in")]
mod tests {
    use super::Histogram;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &value in values {
            histogram.add(value);
        }
        histogram
    }

    #[test]
    fn nothing_is_zero() {
        let empty = Histogram::default();
        assert_eq!(
            (empty.count(), empty.mean(), empty.highest()),
            (0, 0.0, 0.0)
        );
        assert_eq!(empty.percentile(0.5), 0.0);
    }

    #[test]
    fn what_is_no_size_counts_as_zero() {
        let histogram = of(&[f64::NAN, -1.0, -0.0]);
        assert_eq!(
            (histogram.count(), histogram.mean(), histogram.highest()),
            (3, 0.0, 0.0)
        );
        assert_eq!(histogram.percentile(1.0), 0.0);
    }

    proptest! {
        #[test]
        fn percentiles_are_off_by_one_percent_at_most(
            mut values in prop::collection::vec(1e-9_f64..1e6, 1..200),
            percent in 1_u32..=100,
        ) {
            let histogram = of(&values);
            values.sort_by(f64::total_cmp);
            let place = (values.len() * percent as usize).div_ceil(100) - 1;
            let told = histogram.percentile(f64::from(percent) / 100.0);
            // where share and count meet to the last bit, rounding may lead to the next
            let next = values[(place + 1).min(values.len() - 1)];
            prop_assert!(told >= values[place] * 0.99 && told <= next * 1.01, "{told} {}", values[place]);
            prop_assert_eq!(histogram.highest(), values[values.len() - 1]);
        }
    }
}
