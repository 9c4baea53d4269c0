"""Datasets by name: the split that is asked for, and a quick answer without network."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from opik_eval.datasets import read_rows
from opik_eval.datasets.hugging_face import read_split
from opik_eval.errors import DatasetError


class Hub:
    """A stand-in for the two libraries of the hub."""

    def __init__(self) -> None:
        self.reachable = True
        self.asked: list[tuple[str, str, bool]] = []
        self.streamed: list[bool] = []
        self.probes: list[str] = []
        self.constants = SimpleNamespace(HF_HUB_OFFLINE=False, ENDPOINT="https://hub.example")
        self.config = SimpleNamespace(HF_HUB_OFFLINE=False)

    def get_session(self) -> Hub:
        return self

    def head(self, url: str, *, timeout: float) -> None:
        self.probes.append(url)
        if not self.reachable:
            raise ConnectionError("no network")

    def load_dataset(
        self, repository: str, config: str | None = None, *, split: str, streaming: bool = False
    ) -> list[dict[str, str]]:
        self.streamed.append(streaming)
        assert self.constants.HF_HUB_OFFLINE == self.config.HF_HUB_OFFLINE
        self.asked.append((repository, split, self.config.HF_HUB_OFFLINE))
        if repository == "none/such":
            raise FileNotFoundError("no such dataset")
        return [{"q": "a"}]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setitem(sys.modules, "datasets", hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return hub


def test_name_and_split(hub):
    """``hf:NAME:SPLIT`` asks the library for that split, ``test`` if none is named."""
    assert list(read_rows("hf:org/set")) == [{"q": "a"}]
    assert list(read_rows("hf:org/set:train")) == [{"q": "a"}]
    assert hub.asked == [("org/set", "test", False), ("org/set", "train", False)]
    assert hub.probes == ["https://hub.example"] * 2


def test_without_network_the_cache_answers(hub):
    """Where the hub is out of reach the library looks in its cache only, and that just once."""
    hub.reachable = False
    assert list(read_rows("hf:org/set")) == [{"q": "a"}]
    assert hub.asked == [("org/set", "test", True)]
    assert (hub.constants.HF_HUB_OFFLINE, hub.config.HF_HUB_OFFLINE) == (False, False)


def test_who_is_offline_is_not_probed(hub):
    """A user who has switched the hub off keeps it so."""
    hub.constants.HF_HUB_OFFLINE = True
    list(read_rows("hf:org/set"))
    assert hub.probes == []
    assert hub.asked == [("org/set", "test", True)]
    assert (hub.constants.HF_HUB_OFFLINE, hub.config.HF_HUB_OFFLINE) == (True, False)


def test_what_cannot_be_loaded(hub):
    """Errors of the library become ours, with a remedy, and the switches are as before."""
    with pytest.raises(
        DatasetError, match=r"cannot load 'hf:none/such' .* no such dataset\n.*split"
    ):
        read_rows("hf:none/such")
    assert hub.config.HF_HUB_OFFLINE is False


@pytest.mark.slow
def test_the_real_library_without_network(tmp_path, monkeypatch):
    """The real library gives up at once where the network refuses, and says so."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DatasetError, match="cannot load 'hf:org/set:test'"):
        read_rows("hf:org/set:test")


def test_rows_of_a_split_come_as_they_are_read(hub):
    """A split is streamed; a part of it costs no more than that."""
    rows = read_split("org/set", config="main", split="train")
    assert hub.asked == []
    assert next(rows) == {"q": "a"}
    assert hub.asked == [("org/set", "train", False)]
    hub.reachable = False
    assert list(read_split("org/set", split="train")) == [{"q": "a"}]
    assert hub.streamed == [True, False]
    with pytest.raises(DatasetError, match=r"split 'x' of 'none/such' .* no such dataset"):
        list(read_split("none/such", split="x"))
