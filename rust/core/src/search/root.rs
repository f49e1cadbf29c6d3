//! The folder that nobody leaves, and the paths in it.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fmt,
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use rustix::io::Errno;

use super::folder::{Folder, Kind};

/// Links that are followed on the way to one path, as the kernel's own limit.
const MAX_LINKS: usize = 40;

/// The folder that nobody leaves.
#[derive(Debug)]
pub struct Root {
    handle: File,
    /// Where it is, without links; for paths and links that are absolute.
    path: PathBuf,
}

/// What is at a path, opened.
#[derive(Debug)]
pub enum Place {
    /// A folder.
    Folder(Folder),
    /// A regular file, and its path as seen from the root, without links.
    File {
        /// The file, opened for reading.
        file: File,
        /// Its path.
        path: PathBuf,
    },
}

/// What a path is walked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To see what is there.
    Look,
    /// To write a file: folders that are missing on the way are made.
    Write,
}

/// Where a path ends.
pub(super) enum End {
    /// At a folder.
    Folder(Folder),
    /// At a name in a folder, which is no folder and no link; None where there is nothing.
    Name(Folder, OsString, Option<Kind>),
}

/// Why a path has no place.
#[derive(Debug)]
pub enum PlaceError {
    /// It leads out of the root, by itself or through a link.
    Outside,
    /// There is nothing.
    Missing,
    /// Something on the way is no folder.
    NotAFolder,
    /// It is a pipe, a socket or a device.
    Special,
    /// It changed while it was opened.
    Changed,
    /// It is git's own, which is not written.
    Git,
    /// The system refused.
    Refused(io::Error),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outside => "lies outside the workspace",
            Self::Missing => "does not exist",
            Self::NotAFolder => "leads through something that is not a folder",
            Self::Special => "is a pipe, a socket or a device, which cannot be read as a file",
            Self::Changed => "changed while it was being opened; try again",
            Self::Git => "belongs to git, whose own files are not written",
            Self::Refused(error) => return write!(f, "cannot be opened: {error}"),
        })
    }
}

impl std::error::Error for PlaceError {}

impl From<io::Error> for PlaceError {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => Self::Missing,
            // looked at as a folder or a file, and then met as a link or something else
            Some(Errno::LOOP | Errno::NOTDIR) => Self::Changed,
            _ => Self::Refused(error),
        }
    }
}

impl Root {
    /// Opens a folder.
    ///
    /// # Errors
    ///
    /// It is not there, is no folder, or may not be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let handle = File::open(&path)?;
        if !handle.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { handle, path })
    }

    /// Where it is, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what is at a path: relative to the root, or absolute and below it. Links are followed as long as they
    /// stay below the root.
    ///
    /// # Errors
    ///
    /// The path has no place in the root.
    pub fn place(&self, path: &Path) -> Result<Place, PlaceError> {
        match self.walk(path, Purpose::Look)? {
            End::Folder(folder) => Ok(Place::Folder(folder)),
            End::Name(folder, name, Some(Kind::File)) => {
                let path = folder.path_of(&name);
                let file = folder.file(&name)?.ok_or(PlaceError::Changed)?;
                Ok(Place::File { file, path })
            }
            End::Name(_, _, None) => Err(PlaceError::Missing),
            End::Name(..) => Err(PlaceError::Special),
        }
    }

    /// Where a path leads, as seen from the root and without links; the last name need not be there.
    ///
    /// # Errors
    ///
    /// The path has no place in the root.
    pub fn locate(&self, path: &Path) -> Result<PathBuf, PlaceError> {
        Ok(match self.walk(path, Purpose::Look)? {
            End::Folder(folder) => folder.path_of("".as_ref()),
            End::Name(folder, name, _) => folder.path_of(&name),
        })
    }

    /// Goes along a path, from open folder to open folder, as far as its last name.
    ///
    /// # Errors
    ///
    /// The path has no place in the root.
    pub(super) fn walk(&self, path: &Path, purpose: Purpose) -> Result<End, PlaceError> {
        let outermost: OwnedFd = self.handle.try_clone()?.into();
        let mut way = vec![Folder::outermost(outermost)];
        let mut ahead = VecDeque::new();
        self.push(path, &mut way, &mut ahead)?;
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                if way.len() == 1 {
                    return Err(PlaceError::Outside);
                }
                way.pop();
                continue;
            }
            if purpose == Purpose::Write && name.eq_ignore_ascii_case(".git") {
                return Err(PlaceError::Git);
            }
            let Some(here) = way.last() else { break };
            let (name, kind) = match here.kind(&name) {
                Ok(kind) => (name, Some(kind)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => match here.meant(&name) {
                    Some(meant) => {
                        let kind = here.kind(&meant)?;
                        (meant, Some(kind))
                    }
                    None => (name, None),
                },
                Err(error) => return Err(error.into()),
            };
            match kind {
                Some(Kind::Folder) => {
                    let folder = here.folder(&name)?;
                    way.push(folder);
                }
                Some(Kind::Link) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(PlaceError::Refused(Errno::LOOP.into()));
                    }
                    let target = here.link(&name)?;
                    self.push(&target, &mut way, &mut ahead)?;
                }
                kind if ahead.is_empty() => {
                    let folder = way.pop().ok_or(PlaceError::Outside)?;
                    return Ok(End::Name(folder, name, kind));
                }
                None if purpose == Purpose::Write && !ahead.iter().any(|name| name == "..") => {
                    here.make_folder(&name)?;
                    ahead.push_front(name); // looked at again: somebody else may have been quicker
                }
                None => return Err(PlaceError::Missing),
                Some(Kind::File) => return Err(PlaceError::NotAFolder),
                Some(Kind::Other) => return Err(PlaceError::Special),
            }
        }
        way.pop().map(End::Folder).ok_or(PlaceError::Outside)
    }

    /// Puts the parts of a path, or of a link's target, before what is still ahead.
    fn push(
        &self,
        path: &Path,
        way: &mut Vec<Folder>,
        ahead: &mut VecDeque<OsString>,
    ) -> Result<(), PlaceError> {
        let path = if path.is_absolute() {
            way.truncate(1);
            path.strip_prefix(&self.path)
                .map_err(|_| PlaceError::Outside)?
        } else {
            path
        };
        for part in path.components().rev() {
            match part {
                Component::Normal(name) => ahead.push_front(name.to_owned()),
                Component::ParentDir => ahead.push_front("..".into()),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => return Err(PlaceError::Outside),
            }
        }
        Ok(())
    }
}
