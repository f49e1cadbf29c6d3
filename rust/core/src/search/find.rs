//! Files whose paths match a pattern.

use std::{fmt, path::PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::folder::{Entry, Folder, Kind};

/// Folders within folders; each holds an open file while it is walked.
const MAX_DEPTH: usize = 200;

/// A compiled pattern, as in `*.py` or `src/**/test_*.py`.
#[derive(Clone, Debug)]
pub struct Glob(GlobMatcher);

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobError(String);

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GlobError {}

impl Glob {
    /// Compiles a pattern: `*` and `?` stay within a name, `**` stands for any folders, `{a,b}` for either, `[ab]` for
    /// one of the characters. A pattern without a slash matches names in any folder.
    ///
    /// # Errors
    ///
    /// It is no pattern.
    pub fn new(pattern: &str) -> Result<Self, GlobError> {
        let plain = pattern.trim_start_matches("./").trim_start_matches('/');
        let anywhere;
        let whole = if pattern.contains('/') {
            plain
        } else {
            anywhere = format!("**/{plain}");
            &anywhere
        };
        GlobBuilder::new(whole)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map(|glob| Self(glob.compile_matcher()))
            .map_err(|error| GlobError(error.kind().to_string()))
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The first paths, in order, as seen from the outermost folder.
    pub paths: Vec<PathBuf>,
    /// Whether there are more.
    pub more: bool,
    /// Folders that could not be read.
    pub unreadable: usize,
}

/// Finds the files and links in a folder, and in those in it, whose path as seen from the folder matches.
#[must_use]
pub fn find(folder: Folder, glob: &Glob, limit: usize) -> Files {
    let start = folder.path().to_owned();
    let mut found = Files::default();
    let mut stack = Vec::new();
    enter(folder, &mut stack, &mut found);
    while let Some((folder, entries)) = stack.last_mut() {
        let Some(entry) = entries.next() else {
            stack.pop();
            continue;
        };
        if entry.kind == Kind::Folder {
            match folder.folder(&entry.name) {
                Ok(inner) if stack.len() < MAX_DEPTH => enter(inner, &mut stack, &mut found),
                _ => found.unreadable += 1,
            }
            continue;
        }
        let path = folder.path().join(&entry.name);
        if entry.kind == Kind::Other || !glob.0.is_match(path.strip_prefix(&start).unwrap_or(&path))
        {
            continue;
        }
        if found.paths.len() == limit {
            found.more = true;
            break;
        }
        found.paths.push(folder.path_of(&entry.name));
    }
    found
}

type Level = (Folder, std::vec::IntoIter<Entry>);

fn enter(folder: Folder, stack: &mut Vec<Level>, found: &mut Files) {
    match folder.entries() {
        Ok(entries) => stack.push((folder, entries.into_iter())),
        Err(_) => found.unreadable += 1,
    }
}
