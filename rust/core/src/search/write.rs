//! Files that are replaced whole, or not at all.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::{self, Write as _},
    path::Path,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, openat, renameat,
        statat, unlinkat,
    },
    io::Errno,
};

use super::{
    folder::{Folder, Kind},
    root::{End, PlaceError, Purpose, Root},
};

/// To learn whether the file may be written, and what it is.
const OLD: OFlags = OFlags::WRONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
const NEW: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The device.
    pub device: i128,
    /// The number of the file on it.
    pub inode: i128,
    /// Bytes.
    pub size: i128,
    /// When its content changed last, in nanoseconds since the epoch.
    pub modified: i128,
    /// When anything of it changed last, in nanoseconds since the epoch.
    pub changed: i128,
}

impl Version {
    fn of(found: &Stat) -> Self {
        let nanoseconds = |seconds: i128, rest: i128| seconds * 1_000_000_000 + rest;
        Self {
            device: found.st_dev.into(),
            inode: found.st_ino.into(),
            size: found.st_size.into(),
            modified: nanoseconds(found.st_mtime.into(), found.st_mtime_nsec.into()),
            changed: nanoseconds(found.st_ctime.into(), found.st_ctime_nsec.into()),
        }
    }

    /// Whether the content is the same; a file that was only renamed has another time of change.
    fn is_content_of(&self, other: &Self) -> bool {
        Self {
            changed: 0,
            ..*self
        } == Self {
            changed: 0,
            ..*other
        }
    }
}

/// Why a file was not written.
#[derive(Debug)]
pub enum WriteError {
    /// Its path has no place.
    Place(PlaceError),
    /// It is a folder.
    IsAFolder,
    /// It is not the version that was expected.
    Changed,
    /// The system refused.
    Refused(io::Error),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(error) => error.fmt(f),
            Self::IsAFolder => f.write_str("is a folder"),
            Self::Changed => f.write_str("changed meanwhile; nothing was written"),
            Self::Refused(error) => write!(f, "cannot be written: {error}"),
        }
    }
}

impl std::error::Error for WriteError {}

impl From<PlaceError> for WriteError {
    fn from(error: PlaceError) -> Self {
        Self::Place(error)
    }
}

impl From<Errno> for WriteError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::LOOP | Errno::NOENT | Errno::NXIO => Self::Changed, // looked at as a file, met as something else
            Errno::ISDIR => Self::IsAFolder,
            _ => Self::Refused(error.into()),
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Refused(error)
    }
}

impl Root {
    /// Replaces the content of a file, or makes the file and the folders on the way to it.
    ///
    /// The content is written beside the file and put in its place at once, so that nobody sees a part of it. Links are
    /// followed as long as they stay below the root. Mode and, where that is allowed, owner of the file stay.
    ///
    /// # Errors
    ///
    /// The path has no place in the root, the file is not the `expected` version (also when it changes at the last
    /// moment, where the system can exchange two files), or the system refuses.
    pub fn write(
        &self,
        path: &Path,
        content: &[u8],
        expected: Option<&Version>,
    ) -> Result<Version, WriteError> {
        let End::Name(folder, name, kind) = self.walk(path, Purpose::Write)? else {
            return Err(WriteError::IsAFolder);
        };
        let old = match kind {
            Some(Kind::File) => {
                let old = fstat(openat(folder.handle(), &name, OLD, Mode::empty())?)?;
                if FileType::from_raw_mode(old.st_mode) != FileType::RegularFile {
                    return Err(PlaceError::Changed.into());
                }
                Some(old)
            }
            None => None,
            Some(_) => return Err(PlaceError::Special.into()),
        };
        if let Some(expected) = expected
            && old.as_ref().map(Version::of) != Some(*expected)
        {
            return Err(WriteError::Changed);
        }
        let new = Draft::write(&folder, content, old.as_ref())?;
        match (old, expected) {
            (_, Some(expected)) => new.replace(&name, expected)?,
            (Some(_), None) => renameat(folder.handle(), &new.name, folder.handle(), &name)?,
            (None, None) => new.appear(&name)?,
        }
        Ok(Version::of(&fstat(&new.file)?))
    }
}

/// A file that is not yet in its place, and goes away unless it gets there.
struct Draft<'a> {
    folder: &'a Folder,
    name: OsString,
    file: File,
}

impl<'a> Draft<'a> {
    fn write(folder: &'a Folder, content: &[u8], old: Option<&Stat>) -> Result<Self, WriteError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mode = Mode::from_raw_mode(if old.is_some() { 0o600 } else { 0o666 });
        let (name, handle) = loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = OsString::from(format!(".hotloop-{}-{number}.tmp", process::id()));
            match openat(folder.handle(), &name, NEW, mode) {
                Err(Errno::EXIST) => {} // left behind by a process that was killed
                handle => break (name, handle?),
            }
        };
        let draft = Self {
            folder,
            name,
            file: File::from(handle),
        };
        (&draft.file).write_all(content)?;
        draft.file.sync_all()?; // else a crash could leave an empty file in the place of the old one
        if let Some(old) = old {
            let (user, group) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
            let _ = fchown(&draft.file, Some(user), Some(group)); // for the superuser only
            fchmod(&draft.file, Mode::from_raw_mode(old.st_mode))?;
        }
        Ok(draft)
    }

    /// Goes to a place where nothing is.
    fn appear(&self, name: &OsStr) -> Result<(), WriteError> {
        let folder = self.folder.handle();
        match swap::appear(folder, &self.name, name) {
            Err(Errno::EXIST) => Err(WriteError::Changed),
            Err(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP) => {
                Ok(renameat(folder, &self.name, folder, name)?)
            }
            result => Ok(result?),
        }
    }

    /// Goes to the place of a file of one version.
    fn replace(&self, name: &OsStr, expected: &Version) -> Result<(), WriteError> {
        let folder = self.folder.handle();
        match swap::exchange(folder, &self.name, name) {
            Err(Errno::NOSYS | Errno::INVAL | Errno::NOTSUP) => {
                let now = Version::of(&statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?);
                if now != *expected {
                    return Err(WriteError::Changed);
                }
                return Ok(renameat(folder, &self.name, folder, name)?);
            }
            result => result?,
        }
        // What was there at that moment now has the draft's name.
        let there = Version::of(&statat(folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)?);
        if there.is_content_of(expected) {
            return Ok(()); // and goes away with it
        }
        swap::exchange(folder, &self.name, name)?;
        let back = Version::of(&statat(folder, &self.name, AtFlags::SYMLINK_NOFOLLOW)?);
        if back.inode != Version::of(&fstat(&self.file)?).inode {
            renameat(folder, &self.name, folder, name)?; // a third writer's, which came last
        }
        Err(WriteError::Changed)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // Gone already where it was renamed; nobody else has files of this name.
        let _ = unlinkat(self.folder.handle(), &self.name, AtFlags::empty());
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
mod swap {
    use std::{ffi::OsStr, os::fd::OwnedFd};

    use rustix::{
        fs::{RenameFlags, renameat_with},
        io::Result,
    };

    pub(super) fn exchange(folder: &OwnedFd, one: &OsStr, other: &OsStr) -> Result<()> {
        renameat_with(folder, one, folder, other, RenameFlags::EXCHANGE)
    }

    pub(super) fn appear(folder: &OwnedFd, from: &OsStr, to: &OsStr) -> Result<()> {
        renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
mod swap {
    use std::{ffi::OsStr, os::fd::OwnedFd};

    use rustix::io::{Errno, Result};

    pub(super) fn exchange(_: &OwnedFd, _: &OsStr, _: &OsStr) -> Result<()> {
        Err(Errno::NOSYS)
    }

    pub(super) fn appear(_: &OwnedFd, _: &OsStr, _: &OsStr) -> Result<()> {
        Err(Errno::NOSYS)
    }
}
