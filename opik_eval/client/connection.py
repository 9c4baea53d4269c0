"""What every part of the client holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from opik_eval.storage.base import Storage
from opik_eval.tracing.tracer import Tracer


class Connection:
    """A storage, a tracer that writes to it, and the project that is meant by default.

    Args:
        storage: Where everything is.
        tracer: Writes traces there in the background.
    """

    def __init__(self, storage: Storage, tracer: Tracer) -> None:
        self._storage = storage
        self._tracer = tracer

    @property
    def storage(self) -> Storage:
        """The storage of this client."""
        return self._storage

    @property
    def project_name(self) -> str:
        """Project that is meant where none is named."""
        return self._tracer.project_name


def id_list(ids: Sequence[str]) -> list[str]:
    """Return ids as a list; a text, though it is a sequence of texts, is one id."""
    return [ids] if isinstance(ids, str) else list(ids)


def check_keywords(function: str, given: Mapping[str, object], known: type) -> None:
    """Check keywords, which Python does not where a TypedDict spells them.

    Args:
        function: What was called.
        given: The keywords it got.
        known: The TypedDict of those it takes.

    Raises:
        TypeError: One of them is unknown; the text suggests what may be meant.
    """
    names = known.__annotations__
    for keyword in given:
        if keyword not in names:
            close = get_close_matches(keyword, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; it takes {sorted(names)}"
            raise TypeError(f"{function}() got an unexpected keyword {keyword!r}{hint}")
