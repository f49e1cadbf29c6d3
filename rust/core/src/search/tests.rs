//! Against real folders.

use std::{fs, os::unix::fs::symlink, path::Path};

use proptest::prelude::*;

use super::{Glob, Limits, Pattern, Place, PlaceError, Root, WriteError, find, grep};

const ALL: Limits = Limits {
    matches: 10_000,
    columns: 100,
};

/// A folder of its own for a test, removed at its end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hotloop-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, path: &str, text: &[u8]) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn root(&self) -> Root {
        Root::open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn lines(root: &Root, pattern: &str, limits: Limits) -> (Vec<String>, bool) {
    let place = root.place(Path::new("")).unwrap();
    let found = grep(place, &Pattern::new(pattern).unwrap(), limits);
    let shown = found
        .matches
        .iter()
        .map(|one| format!("{}:{}:{}", one.path.display(), one.line, one.text));
    (shown.collect(), found.more)
}

#[test]
fn the_first_matches_are_the_same_for_any_number_of_threads() {
    let scratch = Scratch::new("order");
    for number in 0..200 {
        let text = format!("{}needle {number}\n", "hay\n".repeat(number * 37 % 101));
        scratch.write(&format!("d{}/f{number:03}", number % 7), text.as_bytes());
    }
    let root = scratch.root();
    let (all, more) = lines(&root, "needle", ALL);
    assert_eq!((all.len(), more), (200, false));
    assert!(all.is_sorted());
    for matches in [0, 1, 17, 199, 200] {
        let limits = Limits { matches, ..ALL };
        let (first, more) = lines(&root, "needle", limits);
        assert_eq!(first.as_slice(), all.get(..matches).unwrap());
        assert_eq!(more, matches < 200);
    }
}

#[test]
fn links_are_followed_inside_and_not_out() {
    let scratch = Scratch::new("links");
    scratch.write("in/file", b"x");
    symlink("..", scratch.0.join("in/up")).unwrap();
    symlink("../..", scratch.0.join("in/out")).unwrap();
    symlink(scratch.0.join("in/file"), scratch.0.join("absolute")).unwrap();
    symlink("self", scratch.0.join("self")).unwrap();
    let root = scratch.root();
    let place = |path: &str| root.place(Path::new(path));
    for path in ["in/up/in/file", "absolute", "in/../in/./file"] {
        assert!(
            matches!(place(path), Ok(Place::File { path, .. }) if path == Path::new("in/file")),
            "{path}"
        );
    }
    for path in ["..", "in/../..", "in/out", "in/up/../x", "/", "/etc"] {
        assert!(matches!(place(path), Err(PlaceError::Outside)), "{path}");
    }
    assert!(matches!(place("self"), Err(PlaceError::Refused(_))));
    assert!(matches!(place("in/file/x"), Err(PlaceError::NotAFolder)));
    assert!(matches!(place("none"), Err(PlaceError::Missing)));
}

#[test]
fn a_pattern_that_is_none_is_told_with_its_literal_form() {
    let error = Pattern::new("a(b").unwrap_err();
    assert_eq!(error.reason, "unclosed group");
    assert_eq!(error.literal, r"a\(b");
    assert!(Pattern::new(&error.literal).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn text_is_found_as_a_plain_scan_finds_it(contents in prop::collection::vec("[ab\n]{0,40}", 1..6)) {
        let scratch = Scratch::new("scan");
        let mut wanted = Vec::new();
        for (number, text) in contents.iter().enumerate() {
            scratch.write(&number.to_string(), text.as_bytes());
            for (line, found) in text.lines().enumerate().filter(|(_, line)| line.contains("ab")) {
                wanted.push(format!("{number}:{}:{found}", line + 1));
            }
        }
        prop_assert_eq!(lines(&scratch.root(), "ab", ALL), (wanted, false));
    }

    #[test]
    fn a_long_line_is_cut_around_its_match(before in 0_usize..300, after in 0_usize..300, columns in 8_usize..60) {
        let scratch = Scratch::new("wide");
        scratch.write("f", format!("{}X{}", "é".repeat(before), "b".repeat(after)).as_bytes());
        let (found, _) = lines(&scratch.root(), "X", Limits { matches: 1, columns });
        let text = found.first().unwrap().strip_prefix("f:1:").unwrap();
        prop_assert!(text.contains('X'));
        prop_assert!(text.chars().count() <= columns + 2);
    }
}

#[test]
fn a_file_is_written_whole_and_only_over_what_was_expected() {
    let scratch = Scratch::new("write");
    let root = scratch.root();
    let write =
        |path: &str, content: &[u8], expected| root.write(Path::new(path), content, expected);
    let first = write("new/folder/file", b"one", None).unwrap();
    let second = write("new/folder/file", b"two", Some(&first)).unwrap();
    assert!(matches!(
        write("new/folder/file", b"three", Some(&first)),
        Err(WriteError::Changed)
    ));
    assert_eq!(fs::read(scratch.0.join("new/folder/file")).unwrap(), b"two");
    fs::remove_file(scratch.0.join("new/folder/file")).unwrap();
    assert!(matches!(
        write("new/folder/file", b"four", Some(&second)),
        Err(WriteError::Changed)
    ));
    assert!(matches!(
        write("new/folder", b"x", None),
        Err(WriteError::IsAFolder)
    ));
    for path in ["../x", "new/../../x", ".git/config", "new/.Git/x"] {
        assert!(write(path, b"x", None).is_err(), "{path}");
    }
    let left: Vec<_> = fs::read_dir(scratch.0.join("new/folder"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "no draft stays behind");
}

#[test]
fn a_name_that_is_not_unicode_is_meant_by_what_is_shown_of_it() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    let scratch = Scratch::new("names");
    fs::write(scratch.0.join(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    let root = scratch.root();
    let shown = Path::new("caf\u{fffd}");
    let found = root.locate(shown).unwrap();
    assert_eq!(found.as_os_str().as_bytes(), b"caf\xe9");
    fs::write(scratch.0.join(OsStr::from_bytes(b"caf\xea")), "x").unwrap();
    assert!(matches!(root.place(shown), Err(PlaceError::Missing)));
}

#[test]
fn files_are_found_by_their_paths() {
    let scratch = Scratch::new("find");
    for path in ["a.py", "src/b.py", "src/deep/c.py", "src/deep/d.txt"] {
        scratch.write(path, b"");
    }
    scratch.write(".gitignore", b"a.py\n");
    let root = scratch.root();
    let paths = |pattern: &str, limit| {
        let Ok(Place::Folder(folder)) = root.place(Path::new("")) else {
            panic!("the root is a folder")
        };
        let found = find(folder, &Glob::new(pattern).unwrap(), limit);
        let shown = found.paths.iter().map(|path| path.display().to_string());
        (shown.collect::<Vec<_>>().join(" "), found.more)
    };
    assert_eq!(paths("*.py", 9), ("src/b.py src/deep/c.py".into(), false));
    assert_eq!(paths("*.py", 1), ("src/b.py".into(), true));
    assert_eq!(paths("src/*.py", 9), ("src/b.py".into(), false));
    assert!(paths("src/**/*.{py,txt}", 2).1);
    assert!(Glob::new("[").is_err());
}
