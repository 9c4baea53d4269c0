"""The client, composed from its parts."""

from __future__ import annotations

from opik_eval.client.datasets import Datasets
from opik_eval.client.experiments import Experiments
from opik_eval.client.prompts import Prompts
from opik_eval.client.tracing import Traces
from opik_eval.storage.base import FlushReport, Storage
from opik_eval.storage.opening import open_storage
from opik_eval.tracing.tracer import Tracer


class Opik(Traces, Datasets, Experiments, Prompts):
    """One object for everything that is stored.

    Args:
        project_name: Project that is meant where none is named; else what the settings say.
        workspace: Accepted for Opik's sake; a store on this machine has no workspaces.
        host: URL of a tracing server, instead of ``storage``.
        api_key: Accepted for Opik's sake; a store on this machine needs none.
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
        workspace: str | None = None,  # noqa: ARG002 - Opik's signature
        host: str | None = None,
        api_key: str | None = None,  # noqa: ARG002 - Opik's signature
        *,
        batching: bool = True,  # noqa: ARG002 - Opik's signature
        storage: Storage | str | None = None,
    ) -> None:
        opened = open_storage(storage if storage is not None else host)
        super().__init__(opened, Tracer(opened, project_name=project_name))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is stored; True if it is."""
        return self.flush_report(timeout).complete

    def flush_report(self, timeout_seconds: float | None = None) -> FlushReport:
        """Wait until everything is stored, and tell what became of it."""
        report = self._tracer.flush(timeout_seconds)
        stored = self._storage.flush(timeout_seconds)
        return FlushReport(
            delivered=report.delivered + stored.delivered,
            pending=report.pending + stored.pending,
            rejected=(*report.rejected, *stored.rejected),
        )

    def end(self, timeout: float | None = None) -> None:
        """Flush and release what the client holds."""
        self._tracer.close(timeout)
