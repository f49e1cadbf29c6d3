//! Listing, searching and replacing the files below a folder.
//!
//! Nothing outside the folder is ever opened: every step is taken from an open folder to a name in it, without
//! following links, so that a file that is swapped for a link meanwhile cannot lead out of it. What `.gitignore` names,
//! and git's own folder, is left out. Results are in the order of the paths, whatever the number of threads.

mod find;
mod folder;
mod grep;
mod root;
#[cfg(test)]
mod tests;
mod write;

pub use find::{Files, Glob, GlobError, find};
pub use folder::{Entry, Folder, Kind};
pub use grep::{Found, Limits, Match, Pattern, PatternError, grep};
pub use root::{Place, PlaceError, Root};
pub use write::{Version, WriteError};
