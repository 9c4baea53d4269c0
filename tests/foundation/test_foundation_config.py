"""Settings: where they come from, which wins, and that secrets stay inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from opik_eval.config import DEFAULT_PROJECT, Settings, load_settings, settings
from opik_eval.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def write(home: Path, text: str | bytes) -> Path:
    path = home / ".opik.config"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_defaults(home):
    """Without environment and file the defaults hold."""
    found = load_settings({}, home=home)
    assert found == Settings(config_path=home / ".opik.config")
    assert found.project_name == DEFAULT_PROJECT
    assert found.storage is None
    assert found.track_disable is False


def test_environment_beats_file_beats_default(home):
    """Each setting comes from the highest place that names it; an empty variable names nothing."""
    write(home, "[opik]\nworkspace = of the file\nproject_name = file\nenvironment = %d\n")
    found = load_settings({"OPIK_PROJECT_NAME": "variable", "OPIK_WORKSPACE": ""}, home=home)
    assert found.project_name == "variable"
    assert found.workspace == "of the file"
    assert found.environment == "%d"
    assert found.default_llm is None


def test_every_setting_has_its_variable(home):
    """Each variable fills its own field."""
    environ = {
        "OPIK_EVAL_STORAGE": "memory:",
        "OPIK_URL_OVERRIDE": "https://a.example",
        "OPIK_API_KEY": "k",
        "OPIK_WORKSPACE": "w",
        "OPIK_PROJECT_NAME": "p",
        "OPIK_DEFAULT_LLM": "m",
        "OPIK_TRACK_DISABLE": "true",
        "OPIK_EVAL_LOCAL_MODEL_PATH": "l",
        "OPIK_EVAL_DATA_DIR": "d",
        "OPIK_ENVIRONMENT": "e",
    }
    assert load_settings(environ, home=home) == Settings(
        storage="memory:",
        url_override="https://a.example",
        api_key="k",
        workspace="w",
        project_name="p",
        default_llm="m",
        track_disable=True,
        local_model_path="l",
        data_dir="d",
        environment="e",
        config_path=home / ".opik.config",
    )


@pytest.mark.parametrize("text", ["1", "true", "YES", " on ", "True"])
def test_flags_that_are_set(home, text):
    """A flag may be written in the usual ways."""
    assert load_settings({"OPIK_TRACK_DISABLE": text}, home=home).track_disable is True


@pytest.mark.parametrize("text", ["0", "False", "no", "OFF"])
def test_flags_that_are_not_set(home, text):
    """A flag may be denied, which beats the file too."""
    write(home, "[opik]\ntrack_disable = true\n")
    assert load_settings({"OPIK_TRACK_DISABLE": text}, home=home).track_disable is False


def test_a_flag_that_is_neither(home):
    """The error names the place of the value, be it variable or file."""
    with pytest.raises(ConfigError, match=r"OPIK_TRACK_DISABLE: 'maybe' is neither"):
        load_settings({"OPIK_TRACK_DISABLE": "maybe"}, home=home)
    write(home, "[opik]\ntrack_disable = maybe\n")
    with pytest.raises(ConfigError, match=r"track_disable in .*\.opik\.config: 'maybe'"):
        load_settings({}, home=home)


def test_file_elsewhere(home):
    """``OPIK_CONFIG_PATH`` names another file, ``~`` included; the usual one is then not read."""
    write(home, "[opik]\nworkspace = usual\n")
    (home / "other.ini").write_text("\ufeff[opik]\nworkspace = other\n", encoding="utf-8")
    for named in (str(home / "other.ini"), "~/other.ini"):
        found = load_settings({"OPIK_CONFIG_PATH": named}, home=home)
        assert (found.workspace, found.config_path) == ("other", home / "other.ini")
    absent = load_settings({"OPIK_CONFIG_PATH": str(home / "absent")}, home=home)
    assert absent.workspace == "default"


def test_a_user_without_home(monkeypatch):
    """Where there is no home folder there is no file, and no error."""

    def fail(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", fail)
    assert load_settings({}) == Settings()


def test_a_file_without_our_section(home):
    """Sections of others are ignored."""
    write(home, "[else]\nworkspace = theirs\n")
    assert load_settings({}, home=home).workspace == "default"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("api_key = s3cret\n", r"line 1 comes before any \[section\]"),
        ("[opik]\napi_key s3cret\n", "line 2 has no '='"),
        ("[opik]\napi_key = s3cret\napi_key = s3cret\n", "already exists"),
        (b"[opik]\nworkspace = \xe9 s3cret\n", "not UTF-8"),
    ],
)
def test_a_broken_file(home, text, problem):
    """The error tells file and line, and quotes no value, as that may be a key."""
    path = write(home, text)
    with pytest.raises(ConfigError, match=problem) as caught:
        load_settings({}, home=home)
    assert str(path) in str(caught.value)
    if isinstance(text, str):
        assert "s3cret" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_a_file_that_cannot_be_read(home):
    """A folder in its place is an error, not an absent file."""
    (home / ".opik.config").mkdir()
    with pytest.raises(ConfigError, match=r"cannot read .*opik\.config"):
        load_settings({}, home=home)


def test_repr_keeps_secrets():
    """Neither key nor credentials nor query of a URL are shown; all else is."""
    shown = repr(
        Settings(
            api_key="s3cret",
            url_override="https://user:s3cret@host.example/api?token=s3cret",
            storage="file:runs.db",
        )
    )
    assert "s3cret" not in shown
    assert "url_override='https://host.example/api'" in shown
    assert "storage='file:runs.db'" in shown
    assert "api_key=None" in repr(Settings())


def test_the_process_reads_its_settings_once(monkeypatch):
    """Settings are those of the first use, whatever the environment says later."""
    monkeypatch.setenv("OPIK_WORKSPACE", "first")
    settings.cache_clear()
    found = settings()
    monkeypatch.setenv("OPIK_WORKSPACE", "later")
    assert settings() is found
    assert found.workspace == "first"
