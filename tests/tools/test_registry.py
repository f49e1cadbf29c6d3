"""Looking tools up."""

import pytest

from hotloop.config import Config
from hotloop.errors import ToolDefinitionError, UnknownToolError
from hotloop.tools import ToolRegistry, tool


def read_file(path: str) -> str:
    """Read."""
    return path


@tool(effect="pure")
def grep_file(pattern: str) -> str:
    """Search."""
    return pattern


@pytest.fixture(params=[0, 1, 256])
def registry(request):
    return ToolRegistry([read_file, grep_file], config=Config().replace(tool_registry={"cache_size": request.param}))


def test_plain_functions_are_made_tools(registry):
    assert registry.names() == ["read_file", "grep_file"]
    assert registry.get("grep_file") is grep_file
    assert registry.get("read_file").func is read_file
    assert registry.schemas("anthropic")[1] == grep_file.schema("anthropic")
    assert "read_file" in registry
    assert len(registry) == 2


@pytest.mark.parametrize(
    "name", ["functions.read_file", "Read_File", "read-file", "readFile", "READFILE", "tools.readFile"]
)
def test_a_name_means_the_one_tool_that_it_can_mean(registry, name):
    for _ in range(2):
        assert registry.get(name) is registry.get("read_file")


@pytest.mark.parametrize("name", ["read_fil", "reed_file", "functions.read_filee"])
def test_an_unknown_name_is_told_the_nearest(registry, name):
    for _ in range(2):
        with pytest.raises(UnknownToolError, match=r"did you mean read_file\?.*read_file, grep_file"):
            registry.get(name)


@pytest.mark.parametrize("name", ["", "x" * 100_000, "…", "\ud800", "a\0b"])
def test_odd_names_are_unknown(registry, name):
    with pytest.raises(UnknownToolError) as caught:
        registry.get(name)
    assert len(str(caught.value)) < 400


def test_an_empty_registry_says_so():
    with pytest.raises(UnknownToolError, match="no tools are registered"):
        ToolRegistry().get("x")


def test_a_name_is_taken_once(registry):
    for again in (read_file, tool(name="grep_file")(read_file)):
        with pytest.raises(ToolDefinitionError, match="registered already"):
            registry.add(again)
    registry.add(tool(name="cat")(read_file), aliases=["type"])
    assert registry.get("type") is registry.get("cat")
    with pytest.raises(ToolDefinitionError, match="registered already"):
        registry.add(tool(name="other")(read_file), aliases=["type"])
    assert "other" not in registry


def test_what_two_tools_could_mean_is_unknown(registry):
    registry.get("readfile")
    registry.add(tool(name="ReadFile")(read_file))
    assert registry.get("ReadFile").name == "ReadFile"
    assert registry.get("read_file").name == "read_file"
    with pytest.raises(UnknownToolError):
        registry.get("readfile")


def test_stats_count_what_the_hot_cache_answered():
    registry = ToolRegistry([read_file, grep_file])
    for _ in range(3):
        registry.get("readFile")
    stats = registry.stats()
    assert (stats.tools, stats.hits, stats.misses, stats.size, stats.capacity) == (2, 2, 1, 1, 256)
    off = ToolRegistry([read_file], config=Config().replace(tool_registry={"cache_size": 0}))
    off.get("read_file")
    assert (off.stats().hits, off.stats().misses, off.stats().capacity) == (0, 1, 0)


def test_configure_takes_effect_on_the_next_look_up_and_keeps_the_counts():
    registry = ToolRegistry([read_file, grep_file])
    registry.add(tool(name="list")(lambda: None), aliases=["ls"])
    for name in ("read_file", "ls", "ls"):
        registry.get(name)
    assert (registry.stats().hits, registry.stats().misses) == (1, 2)  # an alias is kept when it was used
    registry.configure(cache_size=1)
    for name in ("ls", "read_file", "ls"):
        assert registry.get(name)
    stats = registry.stats()
    assert (stats.capacity, stats.size, stats.aliases) == (1, 1, 1)
    assert stats.hits + stats.misses == 6
    registry.configure(cache_size=0)
    assert registry.get("ls").name == "list"
    assert (registry.stats().capacity, registry.stats().misses) == (0, stats.misses + 1)
    with pytest.raises(ValueError, match="cache_size"):
        registry.configure(cache_size=-1)
    with pytest.raises(ValueError, match="size_of_cache"):
        registry.configure(size_of_cache=1)
