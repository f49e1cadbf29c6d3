"""Settings: defaults, presets, files, variables, and the errors that name what is wrong."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop.config import Config, LLMClientConfig, ResponseCacheConfig
from hotloop.config.load import load, user_file
from hotloop.config.root import PRESETS, SECTIONS
from hotloop.config.setting import Setting, settings_of
from hotloop.errors import ConfigError

EVERY = [(name, setting) for name, kind in SECTIONS.items() for setting in settings_of(kind).values()]
IDS = [f"{section}.{setting.name}" for section, setting in EVERY]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder, a home and an environment without settings."""
    import os

    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in list(os.environ):
        if name.startswith("HOTLOOP_"):
            monkeypatch.delenv(name)
    return folder


# -- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("section", "setting"), EVERY, ids=IDS)
def test_every_setting_says_what_it_does_and_accepts_its_own_default(section: str, setting: Setting) -> None:
    assert setting.doc.endswith(".")
    assert len(setting.doc) > 15
    setting.check(setting.default, "test", section)
    if setting.type in (int, float):
        assert setting.low is not None
        assert setting.high is not None  # nothing reaches native code that overflows there


@pytest.mark.parametrize(("section", "setting"), EVERY, ids=IDS)
def test_every_setting_refuses_other_types_and_values_out_of_range(section: str, setting: Setting) -> None:
    bad: list[object] = [object(), [], b"1"]
    bad += [] if setting.optional else [None]
    bad += [True, False] if setting.type is not bool else [0, 1, "true"]
    if setting.type in (int, float):
        bad += [setting.low - 1, setting.high + 1, "1", float("nan"), float("inf"), -float("inf"), 10**5000]
    if setting.type is int:
        bad += [1.0]
    if setting.type is str:
        bad += ["x" * int((setting.high or 99) + 1), "nul\0", "half \ud800", "line\n", "\x9b", 1]
    for value in bad:
        with pytest.raises(ConfigError) as caught:
            Config().replace(**{section: {setting.name: value}})
        message = str(caught.value)
        assert message.startswith(f"Config.replace: {section}.{setting.name} must be {setting.allowed}, not ")
        assert "\n" not in message


def test_it_is_frozen_and_equal_by_value() -> None:
    config = Config()
    with pytest.raises(FrozenInstanceError):
        config.llm_client = LLMClientConfig()  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        config.llm_client.timeout = 1.0  # type: ignore[misc]
    assert config == Config()
    assert hash(config) == hash(Config())
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == config


def test_replace_changes_what_is_named_and_leaves_the_rest() -> None:
    config = Config().replace(response_cache={"ttl": 60, "disk": False}, llm_client={"model": "local:smollm2"})
    assert config.response_cache == ResponseCacheConfig(ttl=60, disk=False)
    assert config.llm_client.model == "local:smollm2"
    assert config.replace(response_cache={}) == config
    assert config.replace(response_cache=ResponseCacheConfig(), llm_client={"model": None}) == Config()
    assert config.validate() is config


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"response_cash": {"ttl": 1}}, 'no section "response_cash"; did you mean "response_cache"?'),
        ({"response_cash": {}}, 'no section "response_cash"'),
        ({"response_cache": {"tll": 1}}, 'no setting "response_cache.tll"; did you mean "ttl"?'),
        ({"response_cache": {1: 1}}, 'no setting "response_cache.1"'),
        ({"profiling": {"zzz": 1}}, "it knows events"),
        ({"response_cache": 5}, "response_cache must be a ResponseCacheConfig, not int"),
        ({"response_cache": LLMClientConfig()}, "response_cache must be a ResponseCacheConfig, not LLMClientConfig"),
    ],
)
def test_replace_names_what_it_does_not_know(sections: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=r"^Config") as caught:
        Config().replace(**sections)
    assert said in str(caught.value)


def test_a_bad_section_cannot_be_made_at_all() -> None:
    with pytest.raises(
        ConfigError, match=r"ResponseCacheConfig: ttl must be a number from 0\.001 to 315360000, or none"
    ):
        ResponseCacheConfig(ttl=-1)
    with pytest.raises(ConfigError, match="takes a mapping"):
        Config(response_cache={"ttl": 1})  # type: ignore[arg-type]


def test_presets_change_what_they_name_and_nothing_else() -> None:
    for name, preset in (("development", Config.development()), ("production", Config.production())):
        for section in SECTIONS:
            for one in fields(SECTIONS[section]):
                value = getattr(getattr(preset, section), one.name)
                if one.name in PRESETS[name].get(section, {}):
                    assert value != one.default  # a line of a preset that changes nothing is a bug
                else:
                    assert value == one.default
    assert Config.development() != Config.production()


def test_the_cache_file_lies_where_it_is_told_or_in_the_users_cache_folder(tmp_path: Path) -> None:
    assert Config().response_cache.location() == tmp_path / "cache" / "hotloop" / "responses.db"
    assert ResponseCacheConfig(path="~/a.db").location() == Path("~/a.db").expanduser()
    with pytest.raises(ConfigError, match="no home folder"):
        ResponseCacheConfig(path="~nobody-of-that-name/a.db").location()
    assert not (tmp_path / "cache").exists()


# -- where they come from -------------------------------------------------------------------------------------------


def test_each_source_wins_over_the_ones_behind_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Config.load() == Config()
    keys = ("max_retries", "timeout", "max_connections", "concurrency")

    def seen() -> list[tuple[object, str]]:
        config, sources = load()
        return [(getattr(config.llm_client, key), sources[f"llm_client.{key}"]) for key in keys]

    monkeypatch.setenv("HOTLOOP_PRESET", "production")
    preset = 'preset "production"'
    assert seen() == [(4, preset), (600.0, "default"), (500, preset), (64, preset)]

    user_file().parent.mkdir(parents=True)
    user_file().write_text("[llm_client]\ntimeout = 1\nmax_connections = 1\nconcurrency = 1")
    user = str(user_file())
    assert seen() == [(4, preset), (1, user), (1, user), (1, user)]

    (here / "pyproject.toml").write_text("[tool.hotloop.llm_client]\nmax_connections = 2\nconcurrency = 2")
    assert seen() == [(4, preset), (1, user), (2, "pyproject.toml"), (2, "pyproject.toml")]

    (here / "hotloop.toml").write_text('[llm_client]\nmax_connections = 3\nconcurrency = "none"')
    assert seen() == [(4, preset), (1, user), (3, "hotloop.toml"), (None, "hotloop.toml")]

    variable = "HOTLOOP_LLM_CLIENT__CONCURRENCY"
    monkeypatch.setenv(variable, "4")
    assert seen() == [(4, preset), (1, user), (3, "hotloop.toml"), (4, variable)]
    assert Config.from_env().llm_client == LLMClientConfig(max_retries=4, max_connections=500, concurrency=4)


def test_a_named_file_is_the_only_one_read(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "hotloop.toml").write_text("this is [not toml")
    named = tmp_path / "other.toml"
    named.write_text('preset = "development"\n[response_cache]\nnamespace = "tests"')
    config, sources = load(named)
    assert config == Config.development().replace(response_cache={"namespace": "tests"})
    assert sources["response_cache.namespace"] == str(named)
    monkeypatch.setenv("HOTLOOP_PRESET", "production")
    assert Config.load(named) == Config.production().replace(response_cache={"namespace": "tests"})


def test_a_pyproject_of_another_project_changes_nothing_but_must_hold_settings_when_named(here: Path) -> None:
    file = here / "pyproject.toml"
    file.write_text('[project]\nname = "x"\n[tool.other]\nkey = 1')
    assert Config.load() == Config()
    with pytest.raises(ConfigError, match=r"no table \[tool\.hotloop\]"):
        Config.load(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[response_cache]\ntll = 1", 'there is no setting "response_cache.tll"; did you mean "ttl"?'),
        ("[response_cahce]\nttl = 1", 'there is no section "response_cahce"; did you mean "response_cache"?'),
        ("ttl = 1", 'there is no section "ttl"; it knows agent_execution, '),
        ("response_cache = 1", "response_cache must be a table of settings, not int"),
        ("[[response_cache]]\nttl = 1", "response_cache must be a table of settings, not list"),
        ("[response_cache.ttl]\na = 1", "response_cache.ttl must be a number from 0.001 to 315360000, or none, not "),
        ("[memory_pool]\nmax_buffers = 0", "memory_pool.max_buffers must be a whole number from 1 to 65536, not 0"),
        ("[memory_pool]\nmax_buffers = 1.0", "must be a whole number from 1 to 65536, not 1.0"),
        ("[memory_pool]\nmax_buffers = true", "must be a whole number from 1 to 65536, not True"),
        ('[memory_pool]\nenabled = "none"', "memory_pool.enabled must be true or false, not 'none'"),
        ("[llm_client]\ntimeout = nan", "llm_client.timeout must be a number from 0.001 to 86400, not nan"),
        ("[llm_client]\ntimeout = 2020-01-01", "not datetime.date(2020, 1, 1)"),
        (
            '[llm_client]\nmodel = "' + "m" * 999 + '"',
            "llm_client.model must be plain text of 1 to 256 characters, or none",
        ),
        ('preset = "prod"', "preset must be development or production, not 'prod'"),
        ("preset = [1]", "preset must be development or production, not [1]"),
        ("[llm_client\n", "line 1: not TOML: "),
        ("[llm_client]\n\ntimeout = \n", "line 3: not TOML: "),
        ("[llm_client]\ntimeout = 1\ntimeout = 2\n", "line 3: not TOML: "),
        ('[llm_client]\nmodel = """', "line 2: not TOML: "),
        ("[llm_client]\ntimeout = " + "9" * 5000, "not TOML: "),
        ("a = " + "[" * 100_000, "nested too deeply"),
        (b"[llm_client]\nmodel = '\xff'", "line 2: not UTF-8"),
    ],
)
def test_errors_of_a_file_name_it_and_the_key(here: Path, text: str | bytes, said: str) -> None:
    file = here / "hotloop.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        Config.load()
    message = str(caught.value)
    assert message.startswith("hotloop.toml: ")
    assert said in message
    assert "\n" not in message


def test_errors_of_a_pyproject_name_the_table(here: Path) -> None:
    (here / "pyproject.toml").write_text("tool = 1")
    with pytest.raises(ConfigError, match=r"^pyproject\.toml: tool must be a table"):
        Config.load()
    (here / "pyproject.toml").write_text("[tool]\nhotloop = 1")
    with pytest.raises(ConfigError, match=r"^pyproject\.toml: tool\.hotloop must be a table"):
        Config.load()


def test_a_named_file_must_be_readable(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read: No such file"):
        Config.load("missing.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        Config.load(here)


def test_a_byte_order_mark_and_windows_lines_are_read(here: Path) -> None:
    (here / "hotloop.toml").write_bytes(b"\xef\xbb\xbf[llm_client]\r\nmax_retries = 7\r\n")
    assert Config.load().llm_client.max_retries == 7


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("RESPONSE_CACHE__TTL", "1e3", 1000.0),
        ("RESPONSE_CACHE__TTL", "none", None),
        ("RESPONSE_CACHE__TTL", "", None),
        ("RESPONSE_CACHE__ENABLED", "False", False),
        ("RESPONSE_CACHE__ENABLED", "1", True),
        ("RESPONSE_CACHE__MEMORY_ENTRIES", " 5_000 ", 5000),
        ("RESPONSE_CACHE__NAMESPACE", "none", "none"),
        ("RESPONSE_CACHE__NAMESPACE", "", ""),
        ("RESPONSE_CACHE__PATH", "/a b.db", "/a b.db"),
    ],
)
def test_variables_are_read_by_the_type_of_their_setting(
    name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"HOTLOOP_{name}", text)
    section, _, key = name.lower().partition("__")
    assert getattr(getattr(Config.from_env(), section), key) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("HOTLOOP_RESPONSE_CACHE__TLL", "1", 'no setting "response_cache.tll"; did you mean "ttl"?'),
        ("HOTLOOP_RESPONSE__TTL", "1", 'no section "response"'),
        ("HOTLOOP_RESPONSE_CACHE_TTL", "1", "did you mean HOTLOOP_RESPONSE_CACHE__TTL?"),
        ("HOTLOOP_RESPONSE_CACHE__TTL", "soon", "response_cache.ttl must be a number from 0.001 to 315360000, or none"),
        ("HOTLOOP_RESPONSE_CACHE__DISK", "", "response_cache.disk must be true or false, not ''"),
        ("HOTLOOP_RESPONSE_CACHE__DISK", "maybe", "not 'maybe'"),
        ("HOTLOOP_MEMORY_POOL__MAX_BUFFERS", "1.5", "must be a whole number from 1 to 65536, not '1.5'"),
        ("HOTLOOP_MEMORY_POOL__MAX_BUFFERS", "9" * 5000, "must be a whole number"),
        ("HOTLOOP_LLM_CLIENT__TIMEOUT", "inf", "must be a number from 0.001 to 86400, not inf"),
        ("HOTLOOP_PRESET", "fast", "preset must be development or production, not 'fast'"),
    ],
)
def test_errors_of_a_variable_name_it_and_the_key(
    name: str, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    for read in (Config.from_env, Config.load):
        with pytest.raises(ConfigError) as caught:
            read()
        assert str(caught.value).startswith(f"{name}: ")
        assert said in str(caught.value)


def test_the_value_of_an_unknown_key_is_not_repeated(here: Path) -> None:
    (here / "hotloop.toml").write_text('[llm_client]\napi_key = "sk-secret"')
    with pytest.raises(ConfigError) as caught:
        Config.load()
    assert "sk-secret" not in str(caught.value)


def test_variables_of_other_programs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLOOP_TEST_SERVER", "x")
    monkeypatch.setenv("MY_HOTLOOP_RESPONSE_CACHE__TTL", "x")
    assert Config.from_env() == Config()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_of_a_variable_becomes_an_allowed_value_or_a_config_error(text: str) -> None:
    for _, setting in EVERY:
        value = setting.parse(text)
        try:
            setting.check(value, "V", setting.name)
        except ConfigError:
            continue
        assert value is None or isinstance(value, setting.type)


@given(st.binary(max_size=200))
def test_any_bytes_in_a_file_are_settings_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.toml"
    file.write_bytes(data)
    try:
        Config.load(file).validate()
    except ConfigError as error:
        message = str(error)
    else:
        return
    assert message.startswith(str(file))


def test_importing_it_is_cheap() -> None:
    code = (
        "import sys; import hotloop.config; hotloop.config.Config();"
        "print([m for m in ('httpx2', 'pydantic', 'sqlite3', 'asyncio', 'tomllib', 'platformdirs', 'difflib')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
