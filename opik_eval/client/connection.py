"""What every part of the client holds."""

from __future__ import annotations

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
