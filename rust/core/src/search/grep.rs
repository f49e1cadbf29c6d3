//! Lines that match a pattern.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Seek as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, TrySendError, sync_channel},
    },
    thread,
};

use grep_matcher::Matcher as _;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkMatch};
use rustix::{
    buffer::spare_capacity,
    io::{read, retry_on_intr},
};

use crate::pool::{Pool, Pooled};

use super::{
    folder::{Entry, Folder, Kind},
    root::Place,
};

/// Bytes that a compiled pattern may take.
const MAX_PATTERN: usize = 16 << 20;
/// Bytes of one line; a file with a longer one is not text that anybody wants to see.
const MAX_LINE: usize = 16 << 20;
/// A file of fewer bytes is read whole, into a pooled buffer; others go through a window.
const WHOLE: usize = 256 << 10;
/// Folders within folders; each holds an open file while it is walked.
const MAX_DEPTH: usize = 200;
/// Open files that wait for a thread.
const WAITING: usize = 64;
/// Files that are searched before more threads are worth starting.
const ALONE: usize = 32;

/// A compiled regular expression, matched line by line.
#[derive(Clone, Debug)]
pub struct Pattern(RegexMatcher);

/// A pattern that is not a regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong with it.
    pub reason: String,
    /// The expression that matches the text of the pattern itself.
    pub literal: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// Compiles a regular expression.
    ///
    /// # Errors
    ///
    /// It is not one, could match across lines, or is too large.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        RegexMatcherBuilder::new()
            .multi_line(true)
            .line_terminator(Some(b'\n'))
            .size_limit(MAX_PATTERN)
            .build(pattern)
            .map(Self)
            .map_err(|error| {
                let text = error.to_string();
                // A syntax error shows the pattern and points at it over several lines; the last one says what it is.
                let last = text.lines().last().unwrap_or_default();
                PatternError {
                    reason: last.trim().trim_start_matches("error: ").to_owned(),
                    literal: regex_syntax::escape(pattern),
                }
            })
    }
}

/// How much is returned.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Matching lines.
    pub matches: usize,
    /// Characters of a line; of a longer one, those around the match.
    pub columns: usize,
}

/// A line that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The file, as seen from the outermost folder.
    pub path: PathBuf,
    /// The number of the line, from 1.
    pub line: u64,
    /// The line without its end; Latin-1 where it is not UTF-8.
    pub text: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The first matches, by path and line.
    pub matches: Vec<Match>,
    /// Whether there are more.
    pub more: bool,
    /// Files that were searched.
    pub files: usize,
    /// Files that are binary.
    pub binary: usize,
    /// Files and folders that could not be read.
    pub unreadable: usize,
}

/// Searches a file, or what is in a folder. What cannot be read is counted. In files that are read whole, lines that
/// are not UTF-8 are searched as Latin-1, in larger ones as they are.
#[must_use]
pub fn grep(place: Place, pattern: &Pattern, limits: Limits) -> Found {
    let progress = Progress::new(limits);
    match place {
        Place::Folder(folder) => walk(folder, pattern, &progress),
        Place::File { file, path } => {
            let job = Job {
                number: 0,
                path,
                file,
            };
            job.run(&mut searcher(), pattern, &progress);
        }
    }
    progress.found()
}

fn searcher() -> Searcher {
    SearcherBuilder::new()
        .line_number(true)
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(MAX_LINE))
        .build()
}

/// Walks a folder in the order of the paths, on this thread, and searches its files, on others when there are many.
fn walk(folder: Folder, pattern: &Pattern, progress: &Progress) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = sync_channel::<Job>(WAITING);
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        let mut workers = 0;
        let mut searcher = searcher();
        let sender = sender; // dropped at the end of the walk, which ends the workers
        let mut number = 0;
        let mut stack = vec![Level::enter(folder, progress)];
        while let Some(level) = stack.last_mut() {
            if progress.is_full() {
                break;
            }
            let Some(entry) = level.entries.next() else {
                stack.pop();
                continue;
            };
            let name = &entry.name;
            match entry.kind {
                Kind::Folder => match level.folder.folder(name) {
                    Ok(inner) if stack.len() < MAX_DEPTH => {
                        stack.push(Level::enter(inner, progress));
                    }
                    _ => progress.unreadable(),
                },
                Kind::File => match level.folder.file(name) {
                    Ok(Some(file)) => {
                        let path = level.folder.path_of(name);
                        let job = Job { number, path, file };
                        if number >= ALONE && workers < threads && threads > 1 {
                            workers += 1;
                            scope.spawn(|| serve(&receiver, pattern, progress));
                        }
                        if workers == 0 {
                            job.run(&mut searcher, pattern, progress);
                        } else if let Err(
                            TrySendError::Full(job) | TrySendError::Disconnected(job),
                        ) = sender.try_send(job)
                        {
                            job.run(&mut searcher, pattern, progress); // the others have enough to do
                        }
                        number += 1;
                    }
                    Ok(None) => {}
                    Err(_) => progress.unreadable(),
                },
                Kind::Link | Kind::Other => {}
            }
        }
    });
}

/// A folder on the way, and what is still to be visited in it.
struct Level {
    folder: Folder,
    entries: std::vec::IntoIter<Entry>,
}

impl Level {
    fn enter(folder: Folder, progress: &Progress) -> Self {
        let entries = folder.entries().unwrap_or_else(|_| {
            progress.unreadable();
            Vec::new()
        });
        Self {
            folder,
            entries: entries.into_iter(),
        }
    }
}

fn serve(receiver: &Mutex<Receiver<Job>>, pattern: &Pattern, progress: &Progress) {
    let mut searcher = searcher();
    loop {
        let next = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(job) = next else { return };
        if !progress.is_full() {
            job.run(&mut searcher, pattern, progress);
        }
    }
}

/// A file to search: the `number`th of the walk.
struct Job {
    number: usize,
    path: PathBuf,
    file: File,
}

impl Job {
    fn run(&self, searcher: &mut Searcher, pattern: &Pattern, progress: &Progress) {
        let mut lines = Lines {
            pattern,
            path: &self.path,
            limits: progress.limits,
            matches: Vec::new(),
            binary: false,
        };
        let result = match self.read() {
            Ok(Some(content)) if is_binary(&content) => {
                lines.binary = true;
                Ok(())
            }
            Ok(Some(content)) => {
                let latin = latin(&content);
                let content = latin.as_deref().unwrap_or(&content);
                searcher.search_slice(&pattern.0, content, &mut lines)
            }
            Ok(None) => searcher.search_file(&pattern.0, &self.file, &mut lines),
            Err(error) => Err(error),
        };
        let outcome = match result {
            _ if lines.binary => Outcome::Binary,
            Ok(()) => Outcome::Searched(lines.matches),
            Err(_) => Outcome::Unreadable,
        };
        progress.done(self.number, outcome);
    }

    /// The whole content of a file that is not large.
    fn read(&self) -> io::Result<Option<Pooled>> {
        let mut content = Pool::shared().take(WHOLE).map_err(io::Error::other)?;
        while retry_on_intr(|| read(&self.file, spare_capacity(&mut content)))? > 0 {
            if content.len() >= WHOLE {
                (&self.file).rewind()?;
                return Ok(None);
            }
        }
        Ok(Some(content))
    }
}

/// Whether there is a zero byte in what is not UTF-16, which the searcher decodes.
fn is_binary(content: &[u8]) -> bool {
    !is_utf16(content) && content.contains(&0)
}

fn is_utf16(content: &[u8]) -> bool {
    matches!(content, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
}

/// The content of a file with the lines that are not UTF-8 taken for Latin-1; None where there is none.
fn latin(content: &[u8]) -> Option<Vec<u8>> {
    if content.is_ascii() || is_utf16(content) || str::from_utf8(content).is_ok() {
        return None;
    }
    let mut text = Vec::with_capacity(content.len() + content.len() / 8);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(legible(line).as_bytes());
    }
    Some(text)
}

/// A line as text: Latin-1 where it is not UTF-8.
fn legible(line: &[u8]) -> Cow<'_, str> {
    str::from_utf8(line).map_or_else(
        |_| line.iter().copied().map(char::from).collect(),
        Cow::Borrowed,
    )
}

enum Outcome {
    Searched(Vec<Match>),
    Binary,
    Unreadable,
}

/// Takes the matching lines of one file.
struct Lines<'a> {
    pattern: &'a Pattern,
    path: &'a Path,
    limits: Limits,
    matches: Vec<Match>,
    binary: bool,
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        let bytes = found.bytes().trim_ascii_end();
        self.matches.push(Match {
            path: self.path.to_owned(),
            line: found.line_number().unwrap_or_default(),
            text: self.shown(bytes),
        });
        Ok(self.matches.len() <= self.limits.matches) // one more tells that there are more
    }

    fn binary_data(&mut self, _: &Searcher, _: u64) -> io::Result<bool> {
        self.binary = true;
        Ok(false)
    }
}

impl Lines<'_> {
    /// The line, or the part of a long one that has the match a quarter of the way in.
    fn shown(&self, line: &[u8]) -> String {
        let columns = self.limits.columns;
        let text = legible(line);
        if line.len() <= columns {
            return text.into_owned();
        }
        let found = self.pattern.0.find(line).ok().flatten();
        let start = found.map_or(0, |found| {
            let before = line.get(..found.start()).unwrap_or_default();
            legible(before).chars().count()
        });
        let skip = if start < columns {
            0
        } else {
            start - columns / 4
        };
        let mut rest = text.chars().skip(skip);
        let mut shown: String = if skip > 0 {
            "…".into()
        } else {
            String::new()
        };
        shown.extend(rest.by_ref().take(columns));
        if rest.next().is_some() {
            shown.push('…');
        }
        shown
    }
}

/// What was found so far, put in order while it comes in.
struct Progress {
    limits: Limits,
    full: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The outcomes that are ahead of one that is still missing.
    ahead: BTreeMap<usize, Outcome>,
    next: usize,
    found: Found,
}

impl Progress {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            full: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn unreadable(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .found
            .unreadable += 1;
    }

    fn done(&self, number: usize, outcome: Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        state.ahead.insert(number, outcome);
        while let Some(outcome) = state.ahead.remove(&state.next) {
            state.next += 1;
            if self.is_full() {
                continue; // which files come after the last match that is returned depends on the threads
            }
            match outcome {
                Outcome::Searched(matches) => {
                    state.found.files += 1;
                    state.found.matches.extend(matches);
                }
                Outcome::Binary => state.found.binary += 1,
                Outcome::Unreadable => state.found.unreadable += 1,
            }
            if state.found.matches.len() > self.limits.matches {
                state.found.matches.truncate(self.limits.matches);
                state.found.more = true;
                self.full.store(true, Ordering::Relaxed);
            }
        }
    }

    fn found(self) -> Found {
        self.state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .found
    }
}
