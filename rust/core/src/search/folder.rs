//! An open folder and the names in it.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _},
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat, statat},
    io::Errno,
};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// A pipe that nobody writes to, or a terminal, must not hold up the open.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
/// Bytes of a `.gitignore` that are read; more is not written by people.
const MAX_RULES: u64 = 1 << 20;

/// What a name in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; it is not followed.
    Link,
    /// A pipe, a socket or a device; it is not opened.
    Other,
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// What it is.
    pub kind: Kind,
}

/// The rules of one `.gitignore` and of those above it.
#[derive(Debug)]
struct Rules {
    own: Gitignore,
    above: Option<Arc<Rules>>,
}

/// An open folder, with the rules of what to leave out of it.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    /// Its path as seen from the outermost folder, which is `/`.
    path: PathBuf,
    rules: Option<Arc<Rules>>,
}

impl Folder {
    /// The outermost folder.
    #[must_use]
    pub fn outermost(handle: OwnedFd) -> Self {
        let path = PathBuf::from("/");
        let mut builder = GitignoreBuilder::new(&path);
        if let Ok(git) = openat(&handle, ".git", FOLDER, Mode::empty())
            && let Ok(info) = openat(&git, "info", FOLDER, Mode::empty())
        {
            add_rules(&mut builder, &info, "exclude");
        }
        add_rules(&mut builder, &handle, ".gitignore");
        let rules = chain(&builder, None);
        Self {
            handle,
            path,
            rules,
        }
    }

    /// The folder `name` in this one.
    ///
    /// # Errors
    ///
    /// It is not there, is a link or no folder, or may not be read.
    pub fn folder(&self, name: &OsStr) -> io::Result<Self> {
        let handle = openat(&self.handle, name, FOLDER, Mode::empty())?;
        let path = self.path.join(name);
        let mut builder = GitignoreBuilder::new(&path);
        add_rules(&mut builder, &handle, ".gitignore");
        let rules = chain(&builder, self.rules.as_ref());
        Ok(Self {
            handle,
            path,
            rules,
        })
    }

    /// The descriptor, for work in the folder that is not done here.
    #[must_use]
    pub fn into_handle(self) -> OwnedFd {
        self.handle
    }

    /// The descriptor, for work in the folder that is done beside this file.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Makes a folder, unless there is something of that name.
    ///
    /// # Errors
    ///
    /// The folder may not be written.
    pub(super) fn make_folder(&self, name: &OsStr) -> io::Result<()> {
        match mkdirat(&self.handle, name, Mode::from_raw_mode(0o777)) {
            Err(error) if error != Errno::EXIST => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What a link in this folder points at.
    ///
    /// # Errors
    ///
    /// It is not there, or no link.
    pub fn link(&self, name: &OsStr) -> io::Result<PathBuf> {
        let target = readlinkat(&self.handle, name, Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// The regular file `name` in this folder, opened for reading; None for anything else.
    ///
    /// # Errors
    ///
    /// It is not there, is a link, or may not be read.
    pub fn file(&self, name: &OsStr) -> io::Result<Option<File>> {
        open_file(&self.handle, name)
    }

    /// What a name in this folder is.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub fn kind(&self, name: &OsStr) -> io::Result<Kind> {
        let found = statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(kind_of(FileType::from_raw_mode(found.st_mode)))
    }

    /// The name that is meant by one that is not there: the only one that looks like it where what is not Unicode is
    /// replaced, as names are shown.
    pub(super) fn meant(&self, shown: &OsStr) -> Option<OsString> {
        let shown = shown.to_str().filter(|text| text.contains('\u{fffd}'))?;
        let mut found = None;
        for entry in Dir::read_from(&self.handle).ok()? {
            let entry = entry.ok()?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name.to_string_lossy() == shown && found.replace(name.to_owned()).is_some() {
                return None; // two look like it
            }
        }
        found
    }

    /// Its path as seen from the outermost folder, which is `/`.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in this folder, as seen from the outermost.
    #[must_use]
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.strip_prefix("/").unwrap_or(&self.path).join(name)
    }

    /// The names in this folder that are not to be left out, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in Dir::read_from(&self.handle)? {
            let found = found?;
            let name = OsStr::from_bytes(found.file_name().to_bytes());
            if name == "." || name == ".." || name == ".git" {
                continue;
            }
            let kind = match found.file_type() {
                FileType::Unknown => match self.kind(name) {
                    Ok(kind) => kind,
                    Err(_) => continue, // gone meanwhile
                },
                known => kind_of(known),
            };
            if !self.leaves_out(name, kind == Kind::Folder) {
                entries.push(Entry {
                    name: name.to_owned(),
                    kind,
                });
            }
        }
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn leaves_out(&self, name: &OsStr, is_folder: bool) -> bool {
        let path = self.path.join(name);
        let mut rules = self.rules.as_deref();
        while let Some(here) = rules {
            match here.own.matched(&path, is_folder) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => rules = here.above.as_deref(),
            }
        }
        false
    }
}

fn kind_of(found: FileType) -> Kind {
    match found {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

fn open_file(folder: &OwnedFd, name: &OsStr) -> io::Result<Option<File>> {
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Ok(None); // opening a device may do something
    }
    let handle = openat(folder, name, FILE, Mode::empty())?;
    let opened = fstat(&handle)?;
    let is_file = FileType::from_raw_mode(opened.st_mode) == FileType::RegularFile;
    Ok(is_file.then(|| File::from(handle)))
}

/// Adds the rules of a file, if it is there; lines that are no rules are passed over, as git does.
fn add_rules(builder: &mut GitignoreBuilder, folder: &OwnedFd, name: &str) {
    let Ok(Some(file)) = open_file(folder, OsStr::new(name)) else {
        return;
    };
    let mut text = Vec::new();
    if file.take(MAX_RULES).read_to_end(&mut text).is_ok() {
        let text = String::from_utf8_lossy(&text);
        for line in text.trim_start_matches('\u{feff}').lines() {
            let _ = builder.add_line(None, line);
        }
    }
}

fn chain(builder: &GitignoreBuilder, above: Option<&Arc<Rules>>) -> Option<Arc<Rules>> {
    match builder.build() {
        Ok(own) if !own.is_empty() => Some(Arc::new(Rules {
            own,
            above: above.cloned(),
        })),
        _ => above.cloned(),
    }
}
