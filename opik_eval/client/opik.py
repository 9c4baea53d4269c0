"""The client, composed from its parts."""

from __future__ import annotations

from opik_eval.client.datasets import Datasets
from opik_eval.client.experiments import Experiments
from opik_eval.client.prompts import Prompts
from opik_eval.client.tracing import Traces
from opik_eval.storage.base import FlushReport, Storage
from opik_eval.storage.opening import open_server, open_storage, parse_target
from opik_eval.tracing.tracer import Tracer


class Opik(Traces, Datasets, Experiments, Prompts):
    """One object for everything that is stored.

    Args:
        project_name: Project that is meant where none is named; else what the settings say.
        workspace: Workspace on a server, else what the settings say; other stores have none.
        host: URL of a tracing server, instead of ``storage``.
        api_key: Key for a server, else what the settings say; other stores need none.
        batching: Accepted for Opik's sake; writes are always batched.
        storage: A storage or a target such as ``file:runs.db``; else what the settings say.

    Example:
        >>> client = Opik(storage="memory:")
        >>> dataset = client.get_or_create_dataset("questions")
        >>> _ = dataset.insert([{"question": "2+2", "answer": "4"}])
        >>> len(client.get_dataset("questions").get_items())
        1
    """

    def __init__(
        self,
        project_name: str | None = None,
        workspace: str | None = None,
        host: str | None = None,
        api_key: str | None = None,
        *,
        batching: bool = True,  # noqa: ARG002 - Opik's signature
        storage: Storage | str | None = None,
    ) -> None:
        given = storage if storage is not None else host
        opened = (
            open_server(given, workspace=workspace, api_key=api_key)
            if isinstance(given, str) and parse_target(given)[0] == "http"
            else open_storage(given)
        )
        super().__init__(opened, Tracer(opened, project_name=project_name))
        self._owns_storage = opened is not given

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is stored; True if it is.

        Args:
            timeout: How long to wait at most, in seconds; as long as it takes if absent.
        """
        return self.flush_report(timeout).complete

    def flush_report(self, timeout_seconds: float | None = None) -> FlushReport:
        """Wait until everything is stored, and tell what became of it.

        Returns:
            What became of this client's traces; of all that was written to its storage, if it has
            traced nothing. ``pending`` and ``rejected`` are those of both.
        """
        # The tracer's report covers the storage, unless it had nothing to do.
        traced = self._tracer.flush(timeout_seconds)
        return traced if traced != FlushReport() else self._storage.flush(timeout_seconds)

    def end(self, timeout: float | None = None) -> None:
        """Store what is pending and release what the client holds: its thread, and its storage.

        A storage that was passed in as an object stays open; it belongs to whoever opened it. What
        could not be stored is logged as an error.

        Args:
            timeout: How long to wait at most, in seconds; as long as it takes if absent.
        """
        self._tracer.close(timeout)
        if self._owns_storage:
            self._storage.close()
