"""WordNet's files, read beside NLTK's reader of them."""

from __future__ import annotations

import pickle
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from opik_eval.errors import MetricError
from opik_eval.metrics import METEOR, WordNet

CLASSES = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
SETS = {
    "noun": [["car", "auto", "motorcar"], ["wolf"], ["child", "kid"], ["Paris", "city_of_light"]],
    "verb": [["run", "operate"], ["run", "hurry", "rush"], ["carry", "transport"], ["hop", "jump"]],
    "adj": [["big(a)", "large"], ["good", "well(p)"], ["fine"]],
    "adv": [["well", "good"], ["fast", "quick"]],
}
EXCEPTIONS = {"noun": "children child", "verb": "ran run", "adj": "better good", "adv": "best well"}
WORDS = """
car cars autos motorcars auto wolves children child kid kids paris city_of_light run runs ran
running hopping hop jumped carries carried hurry hurries rushes bigger biggest big large larger
good well better best fine finest fast faster quick quickly nothing s es ing
"""


def write(folder: Path, release: str = "WordNet 3.0") -> str:
    """Write the sets above in WordNet's format, and return the folder."""
    head = f"  1 {release} Copyright 2006, of which these are a few words.  \n"
    for name, sign in CLASSES.items():
        data, index = head, {}
        for words in SETS[name]:
            offset = len(data)
            members = " ".join(f"{word} 0" for word in words)
            data += f"{offset:08} 00 {sign} {len(words):02x} {members} 000 | what it means  \n"
            for word in words:
                index.setdefault(word.partition("(")[0].lower(), []).append(offset)
        lines = [
            f"{word} {sign} {len(places)} 0 {len(places)} 0 "
            + " ".join(f"{place:08}" for place in places)
            for word, places in sorted(index.items())
        ]
        (folder / f"data.{name}").write_text(data)
        (folder / f"index.{name}").write_text(head + "  \n".join([*lines, ""]))
        (folder / f"{name}.exc").write_text(EXCEPTIONS[name] + "\n")
    (folder / "lexnames").write_text("00\tnoun.all\t1\n")
    return str(folder)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A WordNet of a few words, where NLTK may look too."""
    import nltk

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    place = tmp_path / "corpora" / "wordnet"
    place.mkdir(parents=True)
    (place / "index.sense").write_text("")  # which NLTK reads, and does not need here
    return write(place)


@pytest.mark.filterwarnings("ignore:The multilingual functions:UserWarning")
def test_synonyms_are_those_that_nltk_finds(folder):
    """Base forms by rule and by exception, several sets, markers, upper case; no parts of words."""
    from nltk.corpus.reader import WordNetCorpusReader

    with ExitStack() as files:

        class Reader(WordNetCorpusReader):
            """NLTK's, whose files are closed in the end; it leaves them to the collector."""

            def open(self, file):
                return files.enter_context(closing(super().open(file)))

        reader = Reader(folder, None)
        for word in WORDS.split():
            sets = reader.synsets(word)
            names = {n.lower() for found in sets for n in found.lemma_names() if "_" not in n}
            assert WordNet(folder)(word) == names, word


def test_meteor_aligns_synonyms(folder):
    """They count like equal words, and the metric can be sent to another process."""
    metric = pickle.loads(pickle.dumps(METEOR(synonyms=WordNet(folder))))
    assert metric.score(output="two autos", reference="two car").value == 1.0
    assert METEOR().score(output="two autos", reference="two car").value < 1.0


def test_another_release_is_refused(tmp_path):
    """Its sets differ, and so would the scores."""
    with pytest.raises(MetricError, match="not release"):
        WordNet(write(tmp_path, "WordNet 3.1"))("car")


def test_nothing_is_fetched_where_there_is_none(tmp_path):
    """The error says where it looked and what to install; making the metric reads nothing."""
    metric = METEOR(synonyms=WordNet(str(tmp_path)))
    with pytest.raises(MetricError, match="there is no WordNet in") as refusal:
        metric.score(output="car", reference="auto")
    assert "wordnet-base" in refusal.value.remedy


def test_the_usual_places_are_looked_at(folder, monkeypatch):
    """Debian's first; one that is not there does no harm."""
    from opik_eval.metrics import wordnet

    monkeypatch.setattr(wordnet, "_USUAL_FOLDERS", ("/no/such/folder", folder))
    wordnet._classes.cache_clear()
    wordnet._synonyms.cache_clear()
    try:
        assert WordNet()("kids") == {"child", "kid"}
    finally:
        wordnet._classes.cache_clear()
        wordnet._synonyms.cache_clear()
