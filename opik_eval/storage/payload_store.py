"""Records that are written as they come from the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from opik_eval.storage.wire_codec import Payload


class PayloadStore(Protocol):
    """Takes records as payloads, which spares a database to make records of them.

    Not part of ``Storage``: what a server needs. Backends in memory, in files and in databases have
    it; the one over HTTP has not.
    """

    def write_payloads(self, payloads: Sequence[Payload]) -> None:
        """Write what ``write`` would of the records of some payloads: all of them or none.

        Args:
            payloads: Parsed JSON, as ``wire.record_to_wire`` or ``wire_groups.group_to_json`` give
                it.

        Raises:
            PayloadError: One of them is no record; nothing is written.
            ConfigError: A record is of a type that is not written this way.
            ConflictError: A name is taken.
            UnavailableError: The storage cannot be written now.
        """
        ...
