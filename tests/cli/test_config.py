"""``hotloop config show`` and ``check``."""

import json
import tomllib

from hotloop.config import Config
from hotloop.config.root import SECTIONS
from hotloop.config.setting import settings_of

from .conftest import Shell, failed

EVERY = {f"{section}.{key}" for section in SECTIONS for key in settings_of(SECTIONS[section])}


def test_show_names_every_setting_with_its_value_and_source(shell: Shell) -> None:
    (shell.folder / "hotloop.toml").write_text("[response_cache]\nttl = 60")
    done = shell("config", "show", "--json", HOTLOOP_RESPONSE_CACHE__DISK="no", HOTLOOP_PRESET="production")
    shown = json.loads(done.stdout)
    assert set(shown) == EVERY
    assert shown["response_cache.ttl"] == {"value": 60, "source": "hotloop.toml"}
    assert shown["response_cache.disk"] == {"value": False, "source": "HOTLOOP_RESPONSE_CACHE__DISK"}
    assert shown["profiling.events"] == {"value": False, "source": 'preset "production"'}
    assert shown["llm_client.timeout"] == {"value": 600.0, "source": "default"}
    assert (done.returncode, done.stderr) == (0, "")


def test_what_show_writes_is_a_configuration_file_of_the_same_settings(shell: Shell, inside) -> None:
    (shell.folder / "hotloop.toml").write_text('preset = "production"\n[response_cache]\nnamespace = "a\\"\\\\ü𝄞"')
    for option in ("--quiet", "--verbose"):
        done = inside("config", "show", option)
        written = shell.folder / "written.toml"
        written.write_text(done.stdout)
        assert Config.load(written) == Config.load(shell.folder / "hotloop.toml")
    assert {key for keys in tomllib.loads(done.stdout).values() for key in keys} == {
        name.partition(".")[2] for name in EVERY
    }


def test_show_quiet_leaves_the_defaults_out(shell: Shell, inside) -> None:
    assert inside("config", "show", "-q").stdout == ""
    done = inside("config", "show", "-q", HOTLOOP_RESPONSE_CACHE__TTL="5")
    assert done.stdout == "[response_cache]\nttl = 5.0          # HOTLOOP_RESPONSE_CACHE__TTL\n\n"


def test_check_accepts_what_a_run_would_read(shell: Shell, inside) -> None:
    assert inside("config", "check").stdout == "ok: nothing is set; all settings have their defaults\n"
    (shell.folder / "hotloop.toml").write_text("[response_cache]\nttl = 60")
    done = inside("config", "check", HOTLOOP_RESPONSE_CACHE__DISK="no")
    assert (done.returncode, done.stdout) == (0, "ok: HOTLOOP_RESPONSE_CACHE__DISK, hotloop.toml\n")
    assert inside("config", "check", "-q").stdout == ""
    assert json.loads(inside("config", "check", "--json").stdout) == {"ok": True, "sources": ["hotloop.toml"]}


def test_check_names_file_key_and_the_way_out(shell: Shell, inside) -> None:
    (shell.folder / "bad.toml").write_text("[response_cache]\ntll = 60")
    expected = 'bad.toml: there is no setting "response_cache.tll"; did you mean "ttl"?'
    assert failed(inside("config", "check", "bad.toml"), 3) == expected
    assert failed(inside("config", "check", "--config", "bad.toml"), 3) == expected
    done = inside("config", "check", "bad.toml", "--json")
    assert failed(done, 3) == expected
    assert json.loads(done.stdout) == {"ok": False, "error": expected}
    assert "once" in failed(inside("config", "check", "bad.toml", "--config", "bad.toml"), 2)


def test_every_command_refuses_a_bad_configuration(shell: Shell, inside) -> None:
    (shell.folder / "hotloop.toml").write_text("[respons_cache]\nttl = 60")
    for command in (["run", "x"], ["config", "show"], ["config", "check"], ["cache", "stats"], ["cache", "clear"]):
        assert failed(inside(*command), 3).startswith(
            'hotloop.toml: there is no section "respons_cache"; did you mean '
        )
    (shell.folder / "hotloop.toml").unlink()
    assert failed(inside("config", "show", HOTLOOP_LLM_CLIENT__TIMEOUT="soon"), 3).startswith("HOTLOOP_LLM_CLIENT")
    assert failed(inside("config", "show", "--config", "none.toml"), 3) == (
        "none.toml: cannot be read: No such file or directory"
    )
