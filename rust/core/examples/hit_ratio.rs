//! The hit ratio of a trace at some capacities: `hit_ratio 500 1000 < trace`, one key a line.

use std::io::{self, BufRead as _};

use hotloop_core::cache::{Dropped, HotCache, Key, SystemClock, Ttl};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys = io::stdin()
        .lock()
        .lines()
        .map(|line| Ok(Key::text(&line?)))
        .collect::<io::Result<Vec<_>>>()?;
    for capacity in std::env::args().skip(1) {
        let cache: HotCache<()> = HotCache::with_seed(capacity.parse()?, None, SystemClock, 1)?;
        for key in &keys {
            if cache.get(key, |()| (), &mut Dropped::new()).is_none() {
                cache.put(key, (), Ttl::Never, 0, &mut Dropped::new());
            }
        }
        let stats = cache.stats(&mut Dropped::new());
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more")]
        let ratio = stats.hits as f64 / keys.len() as f64;
        println!("{capacity} {ratio:.4}");
    }
    Ok(())
}
