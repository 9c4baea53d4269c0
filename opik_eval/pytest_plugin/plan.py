"""What the processes of a session agree on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from opik_eval.ids import new_id


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the units of a session are recorded.

    Attributes:
        experiment_id: Id of the session's experiment.
        experiment_name: Its name.
        dataset_name: The dataset of what the units are about.
    """

    experiment_id: str
    experiment_name: str
    dataset_name: str

    @classmethod
    def new(cls, experiment_name: str | None, dataset_name: str) -> Plan:
        """Return the plan of a new session; the experiment's name comes from the time if absent."""
        name = experiment_name or f"Test-Suite-{datetime.now(UTC):%Y-%m-%d-%H-%M-%S}"
        return cls(new_id(), name, dataset_name)

    def as_dict(self) -> dict[str, str]:
        """Return it as plain values, for worker processes."""
        return asdict(self)
