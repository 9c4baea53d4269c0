"""Opening storages: the forms of a target, the defaults, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from opik_eval import config
from opik_eval.config import Settings
from opik_eval.errors import ConfigError
from opik_eval.storage import opening
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.opening import nearest_file, open_storage


@pytest.fixture
def use_settings(monkeypatch):
    """Return a function that makes settings the process's."""

    def use(**values) -> None:
        monkeypatch.setattr(opening, "settings", lambda: Settings(**values))

    return use


def location(target=None) -> Path:
    """Return the path of the file that a target opens."""
    storage = open_storage(target)
    storage.close()
    return Path(storage.location.removeprefix("file:"))


def test_an_open_storage_is_handed_on() -> None:
    """A storage object is returned as it is."""
    storage = MemoryStorage()
    assert open_storage(storage) is storage


def test_memory_storages_are_new_each_time() -> None:
    """Every call opens another store."""
    first, second = open_storage("memory:"), open_storage("memory:")
    assert isinstance(first, MemoryStorage)
    assert first is not second


def test_the_forms_of_a_file(tmp_path, monkeypatch) -> None:
    """file:PATH, file:///PATH, a bare .db path, relative paths and the home folder work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / "a.db"
    for target in (f"file:{path}", f"file://{path}", str(path), "file:a.db", "a.db"):
        assert location(target) == path
    assert location("file:other.sqlite") == tmp_path / "other.sqlite"
    assert location("file:~/b.db") == tmp_path / "home" / "b.db"


def test_a_location_opens_the_same_file(tmp_path) -> None:
    """What location says can be given to open_storage; both objects live on their own."""
    first = open_storage(str(tmp_path / "a.db"))
    second = open_storage(first.location)
    first.write_cached("k", b"v")
    first.close()
    assert second.read_cached("k") == b"v"
    second.close()


@pytest.mark.parametrize(
    "target", ["", "memory", "file:", "ftp://x", "x.txt", "http:x", "s3://b/x"]
)
def test_other_targets_are_refused(target) -> None:
    """The error lists the forms."""
    with pytest.raises(ConfigError, match=r"(?s)does not name a storage.*file:PATH"):
        open_storage(target)


def test_a_server_is_opened_by_its_url(tmp_path, monkeypatch) -> None:
    """The location hides secrets in the URL; the outbox is beside the default file."""
    monkeypatch.chdir(tmp_path)
    storage = open_storage("https://user:secret@host:5173/api/?key=secret")
    assert storage.location == "https://host:5173/api"
    storage.close()
    assert [path.suffix for path in (tmp_path / ".opik" / "outbox").iterdir()] == [".db"]


def test_the_setting_comes_first(tmp_path, use_settings, monkeypatch) -> None:
    """OPIK_EVAL_STORAGE wins over OPIK_URL_OVERRIDE, which wins over the default file."""
    monkeypatch.chdir(tmp_path)
    use_settings(storage=f"file:{tmp_path / 'set.db'}", url_override="http://host/api/")
    assert location() == tmp_path / "set.db"
    use_settings(url_override="http://host/api/")
    storage = open_storage()
    assert storage.location == "http://host/api"
    storage.close()


def test_the_default_is_the_nearest_file_up_the_tree(tmp_path, monkeypatch, use_settings) -> None:
    """Without any there is a new one here; one further up is found; the nearest wins."""
    use_settings()
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert nearest_file(here) == here / ".opik" / "opik.db"
    monkeypatch.chdir(tmp_path)
    assert location() == tmp_path / ".opik" / "opik.db"
    monkeypatch.chdir(here)
    (here / ".opik").mkdir()
    assert location() == tmp_path / ".opik" / "opik.db"
    (here / ".opik" / "opik.db").touch()
    assert nearest_file(here) == here / ".opik" / "opik.db"


def test_settings_are_read_through_the_one_place() -> None:
    """The seam that the tests replace is the configuration's own function."""
    assert opening.settings is config.settings
