"""The workspace tools that change: exactly what was asked, at once, and never over what nobody saw."""

import os
import stat
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotloop.errors import ToolArgumentsError, WorkspaceError
from hotloop.pipeline import ToolPipeline
from hotloop.toolcall import ToolCall
from hotloop.tools import ToolRegistry, workspace_tools
from hotloop.tools.workspace.place import Place
from support.hands import Hands


@pytest.fixture
def place(tmp_path):
    (tmp_path / "secret").write_text("the secret\n")
    (tmp_path / "vault").mkdir()
    root = tmp_path / "work"
    root.mkdir()
    (root / "notes").write_text("one\ntwo\nthree\n")
    return root


@pytest.fixture
def hands(place):
    return Hands(place)


def left_over(place):
    return [path for path in place.rglob("*") if path.name.startswith(".hotloop")]


class TestWriting:
    def test_files_and_folders_are_made_and_files_replaced(self, place, hands):
        assert hands.write_file(path="src/new/main.py", content="a = 1\nb = 2") == (
            "wrote src/new/main.py: 2 lines, 11 bytes"
        )
        assert (place / "src/new/main.py").read_text() == "a = 1\nb = 2"
        assert hands.write_file(path="notes", content="") == "wrote notes: 0 lines, 0 bytes"
        assert (place / "notes").read_text() == ""
        assert not left_over(place)

    def test_mode_stays_and_new_files_have_the_usual_one(self, place, hands):
        (place / "notes").chmod(0o751)
        hands.write_file(path="notes", content="x")
        assert stat.S_IMODE((place / "notes").stat().st_mode) == 0o751
        hands.write_file(path="fresh", content="x")
        (place / "usual").touch()
        assert (place / "fresh").stat().st_mode == (place / "usual").stat().st_mode

    def test_a_reader_sees_the_old_file_or_the_new_one_whole(self, place, hands):
        texts = ["a" * 100_000, "b" * 200_000]
        (place / "file").write_text(texts[0])
        stop, seen = threading.Event(), set()

        def watch():
            while not stop.is_set():
                seen.add((place / "file").read_text())

        thread = threading.Thread(target=watch)
        thread.start()
        for number in range(60):
            hands.write_file(path="file", content=texts[number % 2])
        stop.set()
        thread.join()
        assert seen <= set(texts)

    @pytest.mark.parametrize(
        "path", ["..", "../secret", "/etc/hotloop-test", "out/x", "file-out", "a/../../x", "gone/x"]
    )
    def test_nothing_is_written_outside(self, place, hands, path):
        (place / "out").symlink_to("../vault")
        (place / "file-out").symlink_to("../secret")
        (place / "gone").symlink_to("../not-there")
        with pytest.raises(WorkspaceError):
            hands.write_file(path=path, content="evil")
        with pytest.raises(WorkspaceError):
            hands.edit_file(path=path, old_string="the", new_string="evil")
        assert (place.parent / "secret").read_text() == "the secret\n"
        assert sorted(path.name for path in place.parent.iterdir()) == ["secret", "vault", "work"]
        assert not list((place.parent / "vault").iterdir())

    @pytest.mark.parametrize(
        "path", [".git/hooks/pre-commit", "sub/.git/config", ".GIT/config", "to-git/config", ".git"]
    )
    def test_git_s_own_files_are_not_written(self, place, hands, path):
        (place / ".git").mkdir()
        (place / "to-git").symlink_to(".git")
        with pytest.raises(WorkspaceError, match="belongs to git"):
            hands.write_file(path=path, content="evil")
        assert not list((place / ".git").iterdir())

    @pytest.mark.parametrize(
        ("path", "content", "said"),
        [
            ("folder", "x", "is a folder"),
            (".", "x", "is a folder"),
            ("pipe", "x", "is a pipe"),
            ("notes/x", "x", "not a folder"),
            ("x", "\ud800", "is not text"),
            ("a\0b", "x", "cannot be opened"),
            ("n" * 300, "x", "cannot be"),
        ],
    )
    def test_refusals_say_why(self, place, hands, path, content, said):
        (place / "folder").mkdir()
        os.mkfifo(place / "pipe")
        with pytest.raises(WorkspaceError, match=said):
            hands.write_file(path=path, content=content)

    def test_links_inside_lead_to_the_file_that_is_written(self, place, hands):
        (place / "link").symlink_to("notes")
        hands.read_file(path="link")
        hands.write_file(path="link", content="new")
        assert (place / "link").is_symlink()
        assert (place / "notes").read_text() == "new"

    def test_swapping_a_folder_for_a_link_never_leads_out(self, place, hands):
        (place / "real").mkdir()
        (place / "dir").symlink_to("real")
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                for target in ("../vault", "real"):
                    (place / "next").symlink_to(target)
                    (place / "next").replace(place / "dir")

        thread = threading.Thread(target=swap)
        thread.start()
        written = refused = 0
        try:
            for number in range(30_000):
                if number >= 500 and written and refused:
                    break
                try:
                    hands.write_file(path=f"dir/f{number % 5}", content="x")
                    written += 1
                except WorkspaceError:
                    refused += 1
        finally:
            stop.set()
            thread.join()
        assert (written > 0, refused > 0) == (True, True)
        assert not list((place.parent / "vault").iterdir())


class TestChangedMeanwhile:
    """Another program changes the file after it was read here."""

    def changes(self, path):
        before = path.stat()
        yield "longer", lambda: path.write_text("longer than before\n")
        yield (
            "same size and time",
            lambda: (
                path.write_text("ONE\nTWO\nTHREE\n"),
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns)),
            ),
        )
        yield "replaced", lambda: ((path.parent / "other").write_text("x"), (path.parent / "other").replace(path))
        yield "removed", path.unlink

    @pytest.mark.parametrize("number", range(4))
    @pytest.mark.parametrize("how", ["write", "edit"])
    def test_it_is_not_overwritten_until_it_is_read_again(self, place, hands, number, how):
        hands.read_file(path="notes", start=1, end=1)
        name, change = list(self.changes(place / "notes"))[number]
        change()
        there = (place / "notes").read_bytes() if (place / "notes").exists() else None

        def act():
            if how == "write":
                return hands.write_file(path="notes", content="mine")
            return hands.edit_file(path="notes", old_string="o", new_string="0", replace_all=True)

        if name == "removed" and how == "write":
            act()  # nothing is lost
            return
        with pytest.raises(WorkspaceError, match=r"changed since it was read; read it again|does not exist"):
            act()
        assert ((place / "notes").read_bytes() if (place / "notes").exists() else None) == there
        assert not left_over(place)
        if there is not None:
            hands.read_file(path="notes")
            hands.write_file(path="notes", content="mine")
            assert (place / "notes").read_text() == "mine"

    def test_one_s_own_changes_need_no_reading_in_between(self, place, hands):
        hands.read_file(path="notes")
        hands.edit_file(path="notes", old_string="one", new_string="1")
        hands.edit_file(path="./notes", old_string="two", new_string="2")
        hands.write_file(path="notes", content="all new")
        assert (place / "notes").read_text() == "all new"

    def test_a_change_between_the_check_and_the_write_is_seen(self, place):
        """The native write compares the file that it replaced, after the exchange, and puts it back."""
        folder = Place(place).folder
        facts = (place / "notes").stat()
        expected = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        (place / "notes").write_text("changed")
        with pytest.raises(FileExistsError):
            folder.write("notes", b"mine", expected=expected)
        assert (place / "notes").read_text() == "changed"
        assert not left_over(place)

    def test_writers_that_race_lose_nothing_that_was_seen(self, place):
        """Each adds its line by read and edit; whoever loses a race reads again."""
        (place / "log").write_text("start\n")

        def work(name):
            mine = Hands(place)
            for number in range(25):
                while True:
                    text = mine.read_file(path="log")
                    try:
                        mine.write_file(path="log", content=f"{text}{name}{number}\n")
                        break
                    except WorkspaceError:
                        continue

        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = (place / "log").read_text().split()
        assert sorted(lines) == sorted(["start", *(f"{name}{number}" for name in "ab" for number in range(25))])


class TestEditing:
    def test_one_exact_piece_is_replaced(self, place, hands):
        assert hands.edit_file(path="notes", old_string="two\n", new_string="2\n2\n") == "changed notes at line 2"
        assert (place / "notes").read_text() == "one\n2\n2\nthree\n"

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("four", "4", "is not in notes; it must match exactly"),
            ("Two", "2", "is not in notes"),
            ("o", "0", r"is 2 times in notes \(lines 1, 2\); add lines around it .* or set replace_all"),
            ("one", "one", "the same; nothing to change"),
        ],
    )
    def test_what_does_not_match_once_changes_nothing(self, place, hands, old, new, said):
        with pytest.raises(WorkspaceError, match=said):
            hands.edit_file(path="notes", old_string=old, new_string=new)
        assert (place / "notes").read_text() == "one\ntwo\nthree\n"

    def test_an_empty_piece_is_no_argument(self, hands):
        with pytest.raises(ToolArgumentsError, match="old_string"):
            hands.edit_file(path="notes", old_string="", new_string="x")

    def test_everywhere(self, place, hands):
        said = hands.edit_file(path="notes", old_string="o", new_string="0", replace_all=True)
        assert said == "changed notes at lines 1, 2"
        assert (place / "notes").read_text() == "0ne\ntw0\nthree\n"

    @pytest.mark.parametrize(
        ("raw", "old", "new", "after"),
        [
            (b"a\r\nb\r\n", "a\nb\n", "x\ny\n", b"x\r\ny\r\n"),
            (b"a\r\nb\r\n", "a", "x\ny", b"x\r\ny\r\nb\r\n"),
            (b"a\r\nb\nc\r\n", "b", "x\ny", b"a\r\nx\ny\nc\r\n"),
            (b"a\r\nb\r\nc\n", "a\nb", "x\ny", b"x\r\ny\r\nc\n"),
            (b"a\r\nb\nc\r\n", "a\nb\nc\n", "x\ny\n", b"x\r\ny\r\n"),
            (b"a\r\nb\nc+\r\nd\n", "b\nc+\nd", "x", b"a\r\nx\n"),
            ("Grüße\n".encode("latin-1"), "Grüße", "Größe", "Größe\n".encode("latin-1")),
            ("Grüße\nab\n".encode("latin-1"), "ab", "café", "Grüße\ncafé\n".encode("latin-1")),
            ("Grüße\n".encode() + b"\xff\n", "Grüße", "Größe", "Größe\n".encode() + b"\xff\n"),
            ("Grüße\n".encode("utf-16"), "ü", "ö", "Größe\n".encode("utf-16")),
            (b"\xef\xbb\xbfa\n", "a", "b", b"\xef\xbb\xbfb\n"),
            (b"\0\xfea\xff", "a", "b", b"\0\xfeb\xff"),
        ],
    )
    def test_encodings_and_line_ends_stay(self, place, hands, raw, old, new, after):
        (place / "file").write_bytes(raw)
        hands.edit_file(path="file", old_string=old, new_string=new)
        assert (place / "file").read_bytes() == after

    def test_what_the_encoding_cannot_hold(self, place, hands):
        (place / "file").write_bytes("Grüße".encode("latin-1"))
        with pytest.raises(WorkspaceError, match=r"LATIN-1, which cannot hold '\\u20ac'"):
            hands.edit_file(path="file", old_string="Gr", new_string="€")

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.text("abé\n", max_size=20),
        st.text("abé\n", min_size=1, max_size=3),
        st.text("abé\n", max_size=3),
        st.booleans(),
    )
    def test_it_is_str_replace_or_nothing(self, place, hands, text, old, new, every):
        (place / "any").write_text(text)
        hands.read_file(path="any")
        try:
            hands.edit_file(path="any", old_string=old, new_string=new, replace_all=every)
            assert old in text
            wanted = text.replace(old, new)
        except WorkspaceError:
            wanted = text
            assert old == new or old not in text or (not every and text.find(old) != text.rfind(old))
        assert (place / "any").read_text() == wanted


async def test_in_a_batch_reads_and_writes_of_one_file_keep_their_order(place):
    calls = [
        ToolCall("read_file", {"path": "notes"}),
        ToolCall("edit_file", {"path": "notes", "old_string": "one", "new_string": "1"}),
        ToolCall("read_file", {"path": "./notes"}),
        ToolCall("write_file", {"path": "notes", "content": "new"}),
        ToolCall("read_file", {"path": "notes"}),
    ]
    async with ToolPipeline(ToolRegistry(workspace_tools(place))) as pipe:
        results = await pipe.run_batch(calls)
    assert [result.content for result in results[::2]] == ["one\ntwo\nthree\n", "1\ntwo\nthree\n", "new"]


def test_without_writing_there_are_no_such_tools(place):
    assert [made.name for made in workspace_tools(place, write=False)] == [
        "list_directory",
        "read_file",
        "grep_file",
        "find_files",
    ]


class TestFinding:
    @pytest.fixture(autouse=True)
    def files(self, place):
        for name in ("src/a.py", "src/deep/test_a.py", "src/deep/b.txt", "build/c.py", ".git/d.py"):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).touch()
        (place / ".gitignore").write_text("build/\n")
        (place / "out").symlink_to("../vault")
        (place.parent / "vault" / "stolen.py").touch()

    @pytest.mark.parametrize(
        ("pattern", "path", "found"),
        [
            ("*.py", ".", "src/a.py\nsrc/deep/test_a.py"),
            ("src/*.py", ".", "src/a.py"),
            ("**/test_*.py", ".", "src/deep/test_a.py"),
            ("*.{py,txt}", "src/deep", "src/deep/b.txt\nsrc/deep/test_a.py"),
            ("deep/*", "src", "src/deep/b.txt\nsrc/deep/test_a.py"),
            ("./src/[ab].py", ".", "src/a.py"),
            ("*.rs", ".", "[no file matches]"),
            ("out", ".", "out"),
        ],
    )
    def test_globs(self, hands, pattern, path, found):
        assert hands.find_files(pattern=pattern, path=path) == found

    @pytest.mark.parametrize(
        ("pattern", "path", "said"),
        [
            ("[", ".", "is not a glob"),
            ("{a", ".", "is not a glob"),
            ("*", "..", "outside"),
            ("*", "notes", "is a file"),
        ],
    )
    def test_refusals_say_why(self, hands, pattern, path, said):
        with pytest.raises(WorkspaceError, match=said):
            hands.find_files(pattern=pattern, path=path)

    def test_a_long_list_is_cut_with_a_mark(self, place, hands):
        for number in range(1001):
            (place / f"f{number:04}").touch()
        lines = hands.find_files(pattern="f*").splitlines()
        assert lines[999:] == ["f0999", "[the first 1000 files; there are more: narrow the pattern or the path]"]
