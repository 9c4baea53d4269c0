"""English synonyms from the files of WordNet 3.0, read without a library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from opik_eval.errors import MetricError

# Debian's package wordnet-base, then where NLTK's downloader puts the same files.
_USUAL_FOLDERS = (
    "/usr/share/wordnet",
    "~/nltk_data/corpora/wordnet",
    "/usr/share/nltk_data/corpora/wordnet",
    "/usr/local/share/nltk_data/corpora/wordnet",
)
_RELEASE = b"WordNet 3.0"
_CLASSES = ("noun", "verb", "adj", "adv")
_NOUN_ENDINGS = "s: ses:s ves:f xes:x zes:z ches:ch shes:sh men:man ies:y"
_VERB_ENDINGS = "s: ies:y es:e es: ed:e ed: ing:e ing:"
_ADJECTIVE_ENDINGS = "er: est: er:e est:e"
_ENDINGS: Mapping[str, Sequence[tuple[str, str]]] = {
    name: [(ending, stem) for ending, _, stem in (rule.partition(":") for rule in rules.split())]
    for name, rules in zip(
        _CLASSES, (_NOUN_ENDINGS, _VERB_ENDINGS, _ADJECTIVE_ENDINGS, ""), strict=True
    )
}


@dataclass(frozen=True)
class WordNet:
    """A function from an English word to the words that WordNet 3.0 puts into a set with it.

    An inflected word has the synonyms of its base forms, which are found by WordNet's own rules and
    lists of exceptions. Words of several parts are left out. The files are read on first use, from
    the first of these that exists: ``folder``, ``/usr/share/wordnet`` (Debian's package
    ``wordnet-base``), NLTK's data folders. Another release than 3.0 is refused, so that scores do
    not change with the machine.

    Args:
        folder: Where ``index.noun``, ``data.noun`` and the others are, if in none of those.

    Source: Fellbaum 1998, "WordNet: An Electronic Lexical Database"; the files and rules are those
        of its manual pages wndb(5) and morphy(7).

    Example:
        >>> from opik_eval.metrics import METEOR
        >>> METEOR(synonyms=WordNet()).synonyms
        WordNet(folder=None)
    """

    folder: str | None = None

    def __call__(self, word: str) -> frozenset[str]:
        """Return the synonyms of a word in lower case; none for a word that WordNet lacks.

        Raises:
            MetricError: WordNet is not on this machine, or another release of it.
        """
        return _synonyms(self.folder, word)


@dataclass(frozen=True, eq=False)
class _WordClass:
    """Nouns, verbs, adjectives or adverbs: entries by base form, and the text they point into."""

    endings: Sequence[tuple[str, str]]
    exceptions: Mapping[str, Sequence[str]]
    index: Mapping[bytes, bytes]
    data: bytes

    def synonyms(self, word: str) -> Iterator[str]:
        for base in self._base_forms(word):
            fields = self.index[base.encode()].split()
            sets = int(fields[1])  # of the line, the lemma is the key
            for offset in fields[len(fields) - sets :]:
                yield from self._members(int(offset))

    def _base_forms(self, word: str) -> list[str]:
        shorter = self.exceptions.get(word) or [
            word.removesuffix(ending) + stem
            for ending, stem in self.endings
            if word.endswith(ending)
        ]
        return [form for form in dict.fromkeys([word, *shorter]) if form.encode() in self.index]

    def _members(self, offset: int) -> Iterator[str]:
        line = self.data[offset : self.data.index(b"\n", offset)].decode("utf-8")
        fields = line.split()
        for name in fields[4 : 4 + 2 * int(fields[3], 16) : 2]:
            if "_" not in name:
                yield name.partition("(")[0].lower()  # without a marker such as (a)


@lru_cache(maxsize=65536)
def _synonyms(folder: str | None, word: str) -> frozenset[str]:
    return frozenset(name for kind in _classes(folder) for name in kind.synonyms(word))


@lru_cache(maxsize=2)
def _classes(folder: str | None) -> tuple[_WordClass, ...]:
    places = [Path(place).expanduser() for place in ([folder] if folder else _USUAL_FOLDERS)]
    place = next((place for place in places if (place / "index.noun").is_file()), None)
    if place is None:
        raise MetricError(
            "METEOR was asked for WordNet's synonyms, but there is no WordNet in "
            + ", ".join(map(str, places)),
            remedy="install Debian's package wordnet-base, name the folder of WordNet 3.0's files "
            "(WordNet('/path/to/dict')), or leave out synonyms",
        )
    return tuple(_read_class(place, name) for name in _CLASSES)


def _read_class(place: Path, name: str) -> _WordClass:
    index = (place / f"index.{name}").read_bytes()
    if _RELEASE not in index[:2000]:
        raise MetricError(
            f"the WordNet in {place} is not release 3.0",
            remedy="scores of METEOR depend on the release; name the folder of WordNet 3.0's files",
        )
    pairs = (line.partition(b" ") for line in index.splitlines() if not line.startswith(b"  "))
    exceptions = (place / f"{name}.exc").read_text(encoding="utf-8").splitlines()
    return _WordClass(
        endings=_ENDINGS[name],
        exceptions={form: bases for form, *bases in map(str.split, exceptions)},
        index={lemma: rest for lemma, _, rest in pairs},
        data=(place / f"data.{name}").read_bytes(),
    )


__all__ = ["WordNet"]
