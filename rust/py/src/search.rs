//! `Folder`: listing, opening and searching files below a folder that nobody leaves.
#![expect(clippy::doc_markdown, reason = "docstrings are Python's")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "a path is extracted from Python as a value"
)]

use std::{
    os::fd::IntoRawFd as _,
    path::{Path, PathBuf},
};

use crate::number::limit;
use hotloop_core::search::{
    Glob, Kind, Limits, Pattern, Place, PlaceError, Root, Version, WriteError, find, grep,
};
use pyo3::{
    exceptions::{PyFileExistsError, PyIsADirectoryError, PyNotADirectoryError, PyValueError},
    import_exception,
    prelude::*,
};

import_exception!(hotloop.errors, WorkspaceError);

/// Characters of a path or a pattern in an error.
const SHOWN: usize = 200;

/// A folder, and what can be reached in it: nothing outside, whatever links there are and whatever changes meanwhile.
#[pyclass(frozen, module = "hotloop._core")]
pub(crate) struct Folder(Root);

/// What a search found.
///
/// Attributes:
///     matches: path, number and text of each line, in the order of the paths.
///     more: whether there are more.
///     files: files that were searched.
///     binary: files that were left out because they are binary.
///     unreadable: files and folders that could not be read.
#[pyclass(frozen, get_all, module = "hotloop._core")]
pub(crate) struct Found {
    matches: Vec<(String, u64, String)>,
    more: bool,
    files: usize,
    binary: usize,
    unreadable: usize,
}

#[pymethods]
impl Folder {
    /// Opens a folder.
    ///
    /// Args:
    ///     path: where it is.
    ///
    /// Raises:
    ///     OSError: it is not there, is no folder, or may not be read.
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        Ok(Self(Root::open(&path)?))
    }

    /// Where it is, without links.
    #[getter]
    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Opens the regular file at a path for reading.
    ///
    /// Args:
    ///     path: relative to the folder, or absolute and below it.
    ///
    /// Returns:
    ///     The descriptor, which is the caller's to close, and the path as seen from the folder, without links.
    ///
    /// Raises:
    ///     WorkspaceError: the path leads outside, to nothing, or to what cannot be read.
    ///     IsADirectoryError: it is a folder.
    fn open(&self, py: Python<'_>, path: PathBuf) -> PyResult<(i32, PathBuf)> {
        match self.place(py, &path)? {
            Place::File { file, path } => Ok((file.into_raw_fd(), path)),
            Place::Folder(_) => Err(PyIsADirectoryError::new_err(format!(
                "{} is a folder",
                shown(&path.to_string_lossy())
            ))),
        }
    }

    /// Tells where a path leads, as seen from the folder and without links; the last name need not be there.
    ///
    /// Args:
    ///     path: relative to the folder, or absolute and below it.
    ///
    /// Raises:
    ///     WorkspaceError: the path leads outside, or through nothing.
    fn locate(&self, py: Python<'_>, path: PathBuf) -> PyResult<PathBuf> {
        py.detach(|| self.0.locate(&path))
            .map_err(|error| refusal(&path, &error))
    }

    /// Lists the folder at a path.
    ///
    /// Args:
    ///     path: relative to the folder, or absolute and below it.
    ///
    /// Returns:
    ///     Name and kind ("file", "folder", "link" or "other") of what is in it and not left out by .gitignore, by name.
    ///
    /// Raises:
    ///     WorkspaceError: the path leads outside, to nothing, or to what cannot be read.
    ///     NotADirectoryError: it is a file.
    fn entries(&self, py: Python<'_>, path: PathBuf) -> PyResult<Vec<(String, &'static str)>> {
        let Place::Folder(folder) = self.place(py, &path)? else {
            return Err(not_a_folder(&path));
        };
        let entries = py.detach(|| folder.entries())?;
        let named = entries.into_iter().map(|entry| {
            let kind = match entry.kind {
                Kind::File => "file",
                Kind::Folder => "folder",
                Kind::Link => "link",
                Kind::Other => "other",
            };
            (entry.name.to_string_lossy().into_owned(), kind)
        });
        Ok(named.collect())
    }

    /// Searches the file, or the files in the folder, at a path.
    ///
    /// Args:
    ///     pattern: a regular expression, in the syntax of Rust's regex crate; it matches within lines.
    ///     path: relative to the folder, or absolute and below it.
    ///     max_matches: lines that are returned.
    ///     max_columns: characters that are returned of a line.
    ///
    /// Raises:
    ///     ValueError: `pattern` is no regular expression; says what is wrong, and how to write it as plain text.
    ///     WorkspaceError: the path leads outside, to nothing, or to what cannot be read.
    #[pyo3(signature = (pattern, path, *, max_matches, max_columns))]
    fn grep(
        &self,
        py: Python<'_>,
        pattern: &str,
        path: PathBuf,
        #[pyo3(from_py_with = limit)] max_matches: usize,
        #[pyo3(from_py_with = limit)] max_columns: usize,
    ) -> PyResult<Found> {
        let compiled = Pattern::new(pattern).map_err(|error| {
            PyValueError::new_err(format!(
                "{} is not a regular expression: {}; to find that very text, write {}",
                shown(pattern),
                error.reason,
                shown(&error.literal)
            ))
        })?;
        let place = self.place(py, &path)?;
        let limits = Limits {
            matches: max_matches,
            columns: max_columns,
        };
        let found = py.detach(|| grep(place, &compiled, limits));
        let matches = found.matches.into_iter().map(|one| {
            let path = one.path.to_string_lossy().into_owned();
            (path, one.line, one.text)
        });
        Ok(Found {
            matches: matches.collect(),
            more: found.more,
            files: found.files,
            binary: found.binary,
            unreadable: found.unreadable,
        })
    }

    /// Finds the files in the folder at a path, and in those in it, whose paths match a pattern.
    ///
    /// Args:
    ///     pattern: a glob; one without a slash matches names in any folder.
    ///     path: relative to the folder, or absolute and below it.
    ///     max_files: paths that are returned.
    ///
    /// Returns:
    ///     The paths in order, whether there are more, and how many folders could not be read.
    ///
    /// Raises:
    ///     ValueError: `pattern` is no glob.
    ///     WorkspaceError: the path leads outside, to nothing, or to what cannot be read.
    ///     NotADirectoryError: it is a file.
    #[pyo3(signature = (pattern, path, *, max_files))]
    fn find(
        &self,
        py: Python<'_>,
        pattern: &str,
        path: PathBuf,
        #[pyo3(from_py_with = limit)] max_files: usize,
    ) -> PyResult<(Vec<String>, bool, usize)> {
        let glob = Glob::new(pattern).map_err(|error| {
            PyValueError::new_err(format!("{} is not a glob: {error}", shown(pattern)))
        })?;
        let Place::Folder(folder) = self.place(py, &path)? else {
            return Err(not_a_folder(&path));
        };
        let found = py.detach(|| find(folder, &glob, max_files));
        let paths = found
            .paths
            .iter()
            .map(|path| path.to_string_lossy().into_owned());
        Ok((paths.collect(), found.more, found.unreadable))
    }

    /// Replaces the content of the file at a path at once, or makes the file and the folders on the way to it.
    ///
    /// Args:
    ///     path: relative to the folder, or absolute and below it.
    ///     content: the bytes.
    ///     expected: st_dev, st_ino, st_size, st_mtime_ns and st_ctime_ns that the file must have now; None for any
    ///         file or none.
    ///
    /// Returns:
    ///     The same of the new file.
    ///
    /// Raises:
    ///     FileExistsError: the file is not as expected; nothing was written.
    ///     IsADirectoryError: it is a folder.
    ///     WorkspaceError: the path leads outside or into git's own folder, or may not be written.
    #[pyo3(signature = (path, content, *, expected = None))]
    fn write(
        &self,
        py: Python<'_>,
        path: PathBuf,
        content: &[u8],
        expected: Option<Facts>,
    ) -> PyResult<Facts> {
        let expected = expected.map(|(device, inode, size, modified, changed)| Version {
            device,
            inode,
            size,
            modified,
            changed,
        });
        match py.detach(|| self.0.write(&path, content, expected.as_ref())) {
            Ok(new) => Ok((new.device, new.inode, new.size, new.modified, new.changed)),
            Err(error) => {
                let text = format!("{} {error}", shown(&path.to_string_lossy()));
                Err(match error {
                    WriteError::Changed => PyFileExistsError::new_err(text),
                    WriteError::IsAFolder => PyIsADirectoryError::new_err(text),
                    WriteError::Place(_) | WriteError::Refused(_) => WorkspaceError::new_err(text),
                })
            }
        }
    }
}

/// Device, number, size, times of modification and of change: as os.stat gives them.
type Facts = (i128, i128, i128, i128, i128);

impl Folder {
    fn place(&self, py: Python<'_>, path: &Path) -> PyResult<Place> {
        py.detach(|| self.0.place(path))
            .map_err(|error| refusal(path, &error))
    }
}

fn refusal(path: &Path, error: &PlaceError) -> PyErr {
    WorkspaceError::new_err(format!("{} {error}", shown(&path.to_string_lossy())))
}

fn not_a_folder(path: &Path) -> PyErr {
    PyNotADirectoryError::new_err(format!("{} is a file", shown(&path.to_string_lossy())))
}

/// A text as an error shows it: short.
fn shown(text: &str) -> String {
    let mut rest = text.chars();
    let mut shown: String = rest.by_ref().take(SHOWN).collect();
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}
