//! Why a value has no canonical form, and where.

use std::fmt::{self, Write as _};

use super::writer::TooLong;
use super::{MAX_BYTES, MAX_DEPTH};

/// One step of a JSON path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into an object.
    Name(String),
    /// Into an array.
    Index(usize),
}

/// A value has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonError(Box<Facts>); // boxed: an error is rare and must not widen every return

#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    reason: String,
    /// Innermost first: steps are added on the way out.
    steps: Vec<Step>,
}

/// What reading or writing a canonical form gives.
pub type Result<T> = std::result::Result<T, CanonError>;

impl CanonError {
    /// An error at the value that is being read.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            reason: reason.into(),
            steps: Vec::new(),
        }))
    }

    /// The error of a value nested deeper than [`MAX_DEPTH`].
    #[must_use]
    pub fn too_deep() -> Self {
        Self::new(format!(
            "nested deeper than {MAX_DEPTH} levels, or contains itself"
        ))
    }

    /// The error of two members with one name.
    #[must_use]
    pub fn duplicate(name: &str) -> Self {
        Self::new("two members have this name").within(Step::Name(name.to_owned()))
    }

    /// Adds the step that leads to where the error was, seen from one level further out.
    #[must_use]
    pub fn within(mut self, step: Step) -> Self {
        self.0.steps.push(step);
        self
    }

    /// The same place, another reason.
    #[must_use]
    pub(super) fn because(mut self, reason: String) -> Self {
        self.0.reason = reason;
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Where, as in `$.messages[3].content`. Of a long path only the two ends are shown, of a long name its start.
    #[must_use]
    pub fn path(&self) -> String {
        const SHOWN: usize = 24;
        let mut path = String::from("$");
        let count = self.0.steps.len();
        for (i, step) in self.0.steps.iter().rev().enumerate() {
            if count > 2 * SHOWN && (SHOWN..count - SHOWN).contains(&i) {
                if i == SHOWN {
                    path.push('…');
                }
                continue;
            }
            push_step(&mut path, step);
        }
        path
    }
}

fn push_step(path: &mut String, step: &Step) {
    const LONGEST: usize = 64;
    match step {
        Step::Index(i) => {
            let _ = write!(path, "[{i}]");
        }
        Step::Name(name) => {
            let mut starts_well = name
                .chars()
                .next()
                .is_some_and(|c| c.is_alphabetic() || c == '_');
            starts_well &= name.chars().all(|c| c.is_alphanumeric() || c == '_');
            let cut: String = name.chars().take(LONGEST).collect();
            let more = if cut.len() < name.len() { "…" } else { "" };
            let _ = if starts_well {
                write!(path, ".{cut}{more}")
            } else {
                write!(path, "[{cut:?}{more}]")
            };
        }
    }
}

impl fmt::Display for CanonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path(), self.0.reason)
    }
}

impl std::error::Error for CanonError {}

impl From<TooLong> for CanonError {
    fn from(_: TooLong) -> Self {
        CanonError::new(format!(
            "the canonical form would be longer than {MAX_BYTES} bytes"
        ))
    }
}
