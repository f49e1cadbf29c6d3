//! What the targets share: an independent writer of canonical JSON, and JSON values with many spellings.

mod reference;
mod spelling;

pub use reference::canonical;
pub use spelling::{Json, Speller};
