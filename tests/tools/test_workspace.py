"""The workspace tools: what they give, what they refuse, and that nothing leads out."""

import json
import os
import socket
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotloop.cache import MemoryCache
from hotloop.errors import WorkspaceError
from hotloop.pipeline import ToolPipeline
from hotloop.toolcall import ToolCall
from hotloop.tools import ToolRegistry, workspace_tools
from hotloop.tools.workspace.text import MAX_CHARS
from support.hands import Hands
from support.settled import settle


@pytest.fixture
def place(tmp_path):
    """A workspace, and a secret beside it."""
    (tmp_path / "secret").write_text("the secret\n")
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "secret").write_text("the secret\n")
    root = tmp_path / "work"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "src" / "main.py").write_text("import os\n\ndef main():\n    return 1\n")
    (root / "src" / "deep" / "util.py").write_text("def util():\n    pass\n")
    (root / "README.md").write_text("# Read me\n")
    return root


@pytest.fixture
def hands(place):
    return Hands(place)


class TestListing:
    def test_names_are_sorted_and_folders_marked(self, place, hands):
        (place / ".hidden").write_text("")
        (place / "link").symlink_to("README.md")
        assert hands.list_directory() == ".hidden\nREADME.md\nlink@\nsrc/"
        assert hands.list_directory(path="src") == "deep/\nmain.py"
        (place / "empty").mkdir()
        assert hands.list_directory(path="empty") == "[the folder is empty]"

    def test_a_name_cannot_pass_for_several_or_for_another(self, place, hands):
        for name in ("a\nsecret.key", "b\u202egpj.exe", '"quoted"', "c\x1b[2J", "plain ü.txt"):
            (place / "src" / "deep" / name).write_text("needle\n")
        shown = ['"\\"quoted\\""', '"a\\nsecret.key"', '"b\\u202egpj.exe"', '"c\\u001b[2J"', "plain ü.txt", "util.py"]
        assert hands.list_directory(path="src/deep").split("\n") == shown
        found = hands.find_files(pattern="*", path="src/deep").split("\n")
        assert [json.loads(name) if name[0] == '"' else name for name in found] == [
            "src/deep/" + (json.loads(name) if name[0] == '"' else name) for name in shown
        ]
        assert r'"src/deep/a\nsecret.key":1: needle' in hands.grep_file(pattern="needle")
        assert hands.read_file(path=json.loads('"src/deep/a\\nsecret.key"')) == "needle\n"

    def test_what_git_ignores_is_left_out(self, place, hands):
        (place / ".git" / "info").mkdir(parents=True)
        (place / ".git" / "info" / "exclude").write_text("private\n")
        (place / ".gitignore").write_text("# a comment\n*.log\nbuild/\n!keep.log\n/top\n")
        (place / "src" / ".gitignore").write_text("main.*\n!noise.log\n")
        for name in ("a.log", "keep.log", "private", "top", "src/noise.log", "src/b.log", "src/top"):
            (place / name).write_text("needle\n")
        for name in ("build", "src/build"):
            (place / name).mkdir()
            (place / name / "out").write_text("needle\n")
        assert hands.list_directory() == ".gitignore\nREADME.md\nkeep.log\nsrc/"
        assert hands.list_directory(path="src") == ".gitignore\ndeep/\nnoise.log\ntop"
        assert hands.grep_file(pattern="needle").splitlines() == [
            "keep.log:1: needle",
            "src/noise.log:1: needle",
            "src/top:1: needle",
        ]
        assert hands.grep_file(pattern="needle", path="a.log") == "a.log:1: needle"  # asked for by name
        assert hands.read_file(path="a.log") == "needle\n"

    def test_a_long_list_is_cut_with_a_mark(self, place, hands):
        for number in range(1001):
            (place / "src" / "deep" / f"f{number:04}").touch()
        lines = hands.list_directory(path="src/deep").splitlines()
        assert lines[-2:] == ["f0999", "[the first 1000 of 1002 names]"]


class TestReading:
    def test_whole_files_and_ranges(self, hands):
        assert hands.read_file(path="src/main.py") == "import os\n\ndef main():\n    return 1\n"
        assert hands.read_file(path="src/main.py", start=3, end=3) == "def main():\n"
        assert hands.read_file(path="./src/../src/main.py", start=4) == "    return 1\n"
        assert hands.read_file(path="src/main.py", start=4, end=99) == "    return 1\n"

    @pytest.mark.parametrize(
        ("start", "end", "said"),
        [(5, None, "has 4 lines; there is no line 5"), (9, 10, "has 4 lines"), (3, 2, "before")],
    )
    def test_ranges_that_are_not_there(self, hands, start, end, said):
        with pytest.raises(WorkspaceError, match=said):
            hands.read_file(path="src/main.py", start=start, end=end)

    @pytest.mark.parametrize(
        ("raw", "text"),
        [
            (b"", ""),
            (b"no end", "no end"),
            (b"\xef\xbb\xbfmarked\n", "marked\n"),
            ("Grüße\n".encode(), "Grüße\n"),
            ("Grüße\n".encode("utf-16"), "Grüße\n"),
            (b"\xfe\xff" + "Grüße\n".encode("utf-16-be"), "Grüße\n"),
            ("Grüße\nok\n".encode("latin-1"), "Grüße\nok\n[bytes that are not UTF-8 are shown as Latin-1]"),
            (b"one\r\ntwo\r\n", "one\ntwo\n"),
            (b"10 %\r20 %\r30 %\ndone\n", "10 %\r20 %\r30 %\ndone\n"),
        ],
    )
    def test_encodings(self, place, hands, raw, text):
        (place / "file").write_bytes(raw)
        assert hands.read_file(path="file") == text

    def test_a_long_file_is_cut_with_a_mark_that_tells_where_to_go_on(self, place, hands):
        lines = [f"line {number}\n" for number in range(1, 30_001)]
        (place / "long").write_text("".join(lines))
        text, start = "", 1
        while True:
            piece = hands.read_file(path="long", start=start)
            assert len(piece) < MAX_CHARS + 100
            if not piece.endswith("]"):
                break
            body, _, mark = piece.rpartition("[the file goes on; read more with start=")
            text, start = text + body, int(mark.removesuffix("]"))
        assert text + piece == "".join(lines)

    def test_a_line_without_end_is_cut(self, place, hands):
        (place / "line").write_text("x" * (3 * MAX_CHARS))
        assert hands.read_file(path="line") == (
            "x" * MAX_CHARS + f"\n[line 1 is cut after {MAX_CHARS} characters; read more with start=2]"
        )

    def test_a_huge_file_is_read_in_pieces(self, place, hands):
        with (place / "huge").open("wb") as file:
            file.write(b"head\n" * 100_000)
            file.truncate(1 << 40)  # sparse: a terabyte
        assert hands.read_file(path="huge", start=1, end=2) == "head\nhead\n"
        assert hands.read_file(path="huge", start=70_000, end=70_000) == "head\n"
        with pytest.raises(WorkspaceError, match="binary"):
            hands.read_file(path="huge", start=200_000)

    def test_a_deep_start_is_found_by_the_block(self, place, hands):
        lines = [f"{number} {'é' * (number % 50)}\n" for number in range(1, 200_001)]
        (place / "log").write_text("".join(lines))
        for start, end in ((1, 1), (65_536, 65_540), (199_999, None), (200_000, 200_000)):
            assert hands.read_file(path="log", start=start, end=end) == "".join(lines[start - 1 : end])

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.text("aé\r\n\u2028", max_size=30), st.integers(1, 8), st.integers(0, 8), st.sampled_from(["utf-8", "utf-16"])
    )
    def test_lines_are_those_that_end_with_a_line_feed(self, place, hands, text, start, more, encoding):
        (place / "any").write_bytes(text.encode(encoding))
        lines = [line + "\n" for line in text.split("\n")]
        lines[-1] = lines[-1][:-1]
        wanted = "".join(lines[start - 1 : start + more]).replace("\r\n", "\n")
        if start > len(lines) or (start > 1 and start == len(lines) and not lines[-1]):
            with pytest.raises(WorkspaceError, match=f"there is no line {start}"):
                hands.read_file(path="any", start=start, end=start + more)
        else:
            assert hands.read_file(path="any", start=start, end=start + more) == wanted

    def test_names_that_are_not_unicode_are_read_as_they_are_shown(self, place, hands):
        raw = os.fsencode(place) + b"/caf\xe9.txt"
        Path(os.fsdecode(raw)).write_text("needle\n")
        (shown,) = [name for name in hands.list_directory().split("\n") if name.startswith("caf")]
        assert shown == "caf\ufffd.txt"
        assert hands.read_file(path=shown) == "needle\n"
        assert hands.grep_file(pattern="needle", path=shown) == f"{shown}:1: needle"
        assert hands.find_files(pattern="caf*") == shown
        hands.edit_file(path=shown, old_string="needle", new_string="thread")
        assert Path(os.fsdecode(raw)).read_text() == "thread\n"
        os.close(os.open(os.fsencode(place) + b"/caf\xea.txt", os.O_CREAT | os.O_WRONLY))
        with pytest.raises(WorkspaceError, match="does not exist"):
            hands.read_file(path=shown)  # two look like it


class TestSearching:
    def test_lines_come_with_path_and_number(self, hands):
        assert hands.grep_file(pattern=r"def \w+") == "src/deep/util.py:1: def util():\nsrc/main.py:3: def main():"
        assert hands.grep_file(pattern="def", path="src/deep") == "src/deep/util.py:1: def util():"
        assert hands.grep_file(pattern="return", path="src/main.py") == "src/main.py:4:     return 1"
        assert hands.grep_file(pattern="(?i)READ ME") == "README.md:1: # Read me"
        assert hands.grep_file(pattern="^$", path="src") == "src/main.py:2: "
        assert hands.grep_file(pattern="nowhere") == "[no line matches in 3 files]"

    @pytest.mark.parametrize(
        ("pattern", "said"),
        [
            ("foo(", r"foo\( is not a regular expression: unclosed group; to find that very text, write foo\\\("),
            ("*", "repetition operator missing expression"),
            ("[a", "unclosed character class"),
            ("a{1000000000}", "is not a regular expression"),
            (r"(\w{1000}){1000}", "size limit"),
            ("a\nb", "is not allowed"),
        ],
    )
    def test_a_pattern_that_is_none_says_what_is_wrong_and_how_to_write_the_text(self, hands, pattern, said):
        with pytest.raises(WorkspaceError, match=said):
            hands.grep_file(pattern=pattern)

    def test_binary_files_are_left_out(self, place, hands):
        (place / "data").write_bytes(b"needle\n\0\0needle\n")
        (place / "utf16").write_bytes("needle\n".encode("utf-16"))
        assert hands.grep_file(pattern="needle") == "utf16:1: needle"
        assert hands.grep_file(pattern="needle", path="data") == "[no line matches in 0 files, 1 binary left out]"
        with pytest.raises(WorkspaceError, match="binary"):
            hands.read_file(path="data")

    @pytest.mark.parametrize("size", [1000, (256 << 10) - 8, 256 << 10, 1 << 20])
    def test_a_file_of_any_size_is_searched_to_its_end(self, place, hands, size):
        (place / "text").write_bytes(b"hay\n" * (size // 4) + b"needle\n")
        assert hands.grep_file(pattern="needle", path="text") == f"text:{size // 4 + 1}: needle"
        (place / "late").write_bytes(b"needle\n" + b"hay\n" * (size // 4) + b"\0")
        assert hands.grep_file(pattern="needle", path="late") == "[no line matches in 0 files, 1 binary left out]"

    def test_lines_that_are_not_utf8_are_searched_and_shown_as_read_file_shows_them(self, place, hands):
        (place / "mixed").write_bytes("Grüße\n".encode() + "Grüße und Küsse\n".encode("latin-1"))
        for pattern in ("Grüße", "^Gr..e", r"\bGrüße\b"):
            assert hands.grep_file(pattern=pattern) == "mixed:1: Grüße\nmixed:2: Grüße und Küsse"
        (place / "large").write_bytes(b"hay\n" * (1 << 17) + "needle Küsse\n".encode("latin-1"))
        assert hands.grep_file(pattern="needle") == f"large:{(1 << 17) + 1}: needle Küsse"
        wide = "ä" * 300 + "needle" + "ö" * 300
        (place / "wide").write_bytes(wide.encode("latin-1"))
        assert "äneedleö" in hands.grep_file(pattern="needleö", path="wide")

    def test_results_and_lines_are_cut_with_marks(self, place, hands):
        (place / "many").write_text("needle\n" * 1000)
        lines = hands.grep_file(pattern="needle").splitlines()
        assert len(lines) == 201
        assert lines[-1] == "[the first 200 lines; there are more: narrow the pattern or the path]"
        (place / "wide").write_text("a" * 100_000 + "needle" + "b" * 100_000)
        line = hands.grep_file(pattern="needle", path="wide")
        assert "needle" in line
        assert len(line) < 300
        assert line.count("…") == 2

    def test_many_files_give_the_same_answer_each_time(self, place, hands):
        for number in range(300):
            (place / "src" / f"f{number:03}").write_text("needle\n" if number % 2 else "hay\n" * 5000)
        answers = {hands.grep_file(pattern="needle") for _ in range(10)}
        assert len(answers) == 1
        lines = answers.pop().splitlines()
        assert lines == [f"src/f{number:03}:1: needle" for number in range(1, 300, 2)]

    def test_python_goes_on_meanwhile(self, place, hands):
        """Threads are switched only where one gives way; a search that did not would keep the other from running."""
        (place / "large").write_bytes(b"hay and more hay\n" * 4_000_000)
        turn, ran = threading.Lock(), []
        turn.acquire()
        thread = threading.Thread(target=lambda: (turn.acquire(), ran.append(True)))
        thread.start()
        before = sys.getswitchinterval()
        sys.setswitchinterval(1000)
        try:
            turn.release()
            hands.grep_file(pattern="n[e]+dle", path="large")
            assert ran
        finally:
            sys.setswitchinterval(before)
            thread.join()

    def test_odd_names(self, place, hands):
        os.close(os.open(os.fsencode(place) + b"/bad\xff", os.O_CREAT | os.O_WRONLY))
        (place / "new\nline").write_text("needle")
        assert "bad\ufffd" in hands.list_directory()
        assert hands.grep_file(pattern="needle") == r'"new\nline":1: needle'

    def test_deep_trees_end(self, place, hands):
        folder = os.open(place, os.O_RDONLY)
        for _ in range(400):
            os.mkdir("d", dir_fd=folder)
            inner = os.open("d", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        os.close(folder)
        assert "could not be read" in hands.grep_file(pattern="needle")


class TestConfinement:
    WAYS_OUT = (
        "..",
        "../secret",
        "src/../../secret",
        "/etc/passwd",
        "/",
        "out",
        "out/secret",
        "file-out",
        "chain",
        "src/up/secret",
        "absolute",
        "../work-sibling/x",
    )

    @pytest.fixture(autouse=True)
    def ways(self, place):
        (place / "out").symlink_to("../vault")
        (place / "file-out").symlink_to("../secret")
        (place / "chain").symlink_to("file-out")
        (place / "src" / "up").symlink_to("../..")
        (place / "absolute").symlink_to(place.parent / "secret")
        (place.parent / "work-sibling").mkdir()
        (place.parent / "work-sibling" / "x").write_text("the secret\n")

    @pytest.mark.parametrize("path", WAYS_OUT)
    def test_nothing_leads_out(self, hands, path):
        for call in (hands.read_file, hands.list_directory, lambda path: hands.grep_file(pattern=".", path=path)):
            with pytest.raises(WorkspaceError, match="lies outside the workspace"):
                call(path=path)
        assert "secret" not in hands.grep_file(pattern="secret")

    def test_links_and_absolute_paths_that_stay_inside_are_followed(self, place, hands):
        (place / "inside").symlink_to("src/deep")
        (place / "src" / "deep" / "back").symlink_to(place / "README.md")
        assert hands.list_directory(path="inside") == "back@\nutil.py"
        assert hands.read_file(path="inside/back") == "# Read me\n"
        assert hands.read_file(path=str(place / "README.md")) == "# Read me\n"
        assert hands.list_directory(path="inside/..") == hands.list_directory(path="src")

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("REDME.md", r"does not exist; did you mean README\.md\?"),
            ("src/mian.py", r"did you mean src/main\.py\?"),
            ("nowhere/at/all", "does not exist"),
            ("README.md/x", "not a folder"),
            ("loop", "symbolic links"),
            ("a\0b", "cannot be opened"),
            ("x" * 5000, "…"),
            ("pipe", "is a pipe"),
            ("socket", "is a pipe, a socket or a device"),
            ("src", "is a folder, not a file"),
            ("", r"^\. is a folder, not a file"),
            ("dead", "^dead is a link to something that does not exist$"),
            ("caf\u00e9", r'did you mean "cafe\\u0301"\?$'),
            ("new line", r'did you mean "new\\nline"\?$'),
        ],
    )
    def test_refusals_say_why(self, place, hands, path, said, monkeypatch):
        (place / "loop").symlink_to("loop")
        (place / "dead").symlink_to("nowhere")
        for name in ("cafe\u0301", "new\nline"):
            (place / name).touch()
        os.mkfifo(place / "pipe")
        monkeypatch.chdir(place)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            with pytest.raises(WorkspaceError, match=said) as caught:
                hands.read_file(path=path)
        assert len(str(caught.value)) < 500
        assert "[no line" in hands.grep_file(pattern="nowhere")  # pipes and sockets are passed by

    def test_a_path_with_a_zero_byte_is_for_the_call_to_refuse(self, place):
        for tool in workspace_tools(place, write=True):
            if "path" in tool.schema("openai")["function"]["parameters"]["properties"]:
                tool.access({"path": "a\0b"})

    def test_a_file_is_no_folder(self, hands):
        with pytest.raises(WorkspaceError, match="is a file, not a folder"):
            hands.list_directory(path="README.md")

    def test_a_workspace_that_is_none(self, tmp_path):
        (tmp_path / "file").touch()
        for bad in ("nowhere", "file"):
            with pytest.raises(WorkspaceError, match="cannot be opened"):
                workspace_tools(tmp_path / bad)

    def test_a_workspace_behind_a_link_and_moved_meanwhile_stays_the_same_folder(self, place):
        link = place.parent / "link"
        link.symlink_to(place)
        hands = Hands(link)
        link.unlink()
        link.symlink_to(place.parent / "vault")
        assert hands.read_file(path="README.md") == "# Read me\n"

    def test_swapping_files_and_folders_for_links_never_leads_out(self, place, hands):
        """Another thread swaps a folder and a file for links to a secret while they are read."""
        (place / "dir").mkdir()
        (place / "dir" / "secret").write_text("harmless\n")
        (place / "file").write_text("harmless\n")
        (place / "evil-dir").symlink_to("../vault")
        (place / "evil-file").symlink_to("../secret")
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                for good, evil in (("dir", "evil-dir"), ("file", "evil-file")):
                    (place / good).rename(place / "parked")
                    (place / evil).rename(place / good)
                    (place / good).rename(place / evil)
                    (place / "parked").rename(place / good)

        thread = threading.Thread(target=swap)
        thread.start()
        seen = set()
        try:
            for number in range(30_000):
                links_met = any("outside the workspace" in text for text in seen)
                if number >= 1500 and links_met and "harmless\n" in seen:
                    break
                for call in (
                    lambda: hands.read_file(path="dir/secret"),
                    lambda: hands.read_file(path="file"),
                    lambda: hands.grep_file(pattern="."),
                    lambda: hands.list_directory(path="dir"),
                ):
                    try:
                        seen.add(call())
                    except WorkspaceError as error:
                        seen.add(str(error))
        finally:
            stop.set()
            thread.join()
        assert "harmless\n" in seen
        assert links_met
        assert not any("the secret" in text for text in seen)

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.sampled_from(["..", ".", "", "src", "out", "up", "deep", "secret", "chain", "absolute"]), max_size=6
        )
    )
    def test_no_path_gives_the_secret(self, hands, parts):
        path = "/".join(parts)
        for call in (lambda: hands.read_file(path=path), lambda: hands.grep_file(pattern="secret", path=path)):
            try:
                text = call()
            except WorkspaceError as error:
                text = str(error)
            assert "the secret" not in text


async def test_a_moved_workspace_and_odd_names_never_give_a_stale_read(place):
    async with ToolPipeline(ToolRegistry(workspace_tools(place)), cache=MemoryCache()) as pipe:

        async def read(path):
            return (await pipe.run(ToolCall("read_file", {"path": path}))).content

        odd = Path(os.fsdecode(os.fsencode(place) + b"/odd\xff"))
        odd.write_text("old")  # noqa: ASYNC240 - small, as the next one
        assert await read("odd\ufffd") == "old"
        odd.write_text("new")  # noqa: ASYNC240
        assert await read("odd\ufffd") == "new"
        moved = place.rename(place.parent / "moved")
        assert await read("README.md") == "# Read me\n"
        (moved / "README.md").write_text("# Reed me\n")
        assert await read("README.md") == "# Reed me\n"


async def test_through_the_pipeline_reads_are_kept_until_the_file_changes(place):
    async with ToolPipeline(ToolRegistry(workspace_tools(place)), cache=MemoryCache()) as pipe:

        async def read():
            result = await pipe.run(ToolCall("read_file", '{"path": "README.md"}'))
            return result.content, result.cached

        settle(pipe)
        assert [await read(), await read()] == [("# Read me\n", False), ("# Read me\n", True)]
        (place / "README.md").write_text("# Read me!\n")
        assert await read() == ("# Read me!\n", False)
        refused = await pipe.run(ToolCall("read_file", '{"path": "../secret"}'))
        assert refused.content == "Error: ../secret lies outside the workspace"


async def test_kept_reads_are_found_by_another_process_and_not_in_another_workspace(place):
    cache = MemoryCache()
    for root, cached in ((place, False), (place, True)):
        async with ToolPipeline(ToolRegistry(workspace_tools(root)), cache=cache) as pipe:
            settle(pipe)
            assert (await pipe.run(ToolCall("read_file", '{"path": "README.md"}'))).cached is cached
    (place / "src" / "README.md").write_text("other\n")
    async with ToolPipeline(ToolRegistry(workspace_tools(place / "src")), cache=cache) as pipe:
        assert (await pipe.run(ToolCall("read_file", '{"path": "README.md"}'))).content == "other\n"
