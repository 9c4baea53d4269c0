"""The public battery that every storage backend passes.

A backend's test module subclasses ``StorageContract`` and supplies the fixture ``storage``, and
``reopen`` if its data outlives the object::

    class TestMemoryStorage(StorageContract):
        @pytest.fixture
        def storage(self):
            with closing(MemoryStorage()) as storage:
                yield storage
"""

from __future__ import annotations

from opik_eval.testing.storage_agreement import AgreementContract
from opik_eval.testing.storage_cases import StorageCase
from opik_eval.testing.storage_datasets import DatasetContract, ItemContract
from opik_eval.testing.storage_filters import FilterContract, ValueContract
from opik_eval.testing.storage_runs import RunContract
from opik_eval.testing.storage_traces import ScoreContract, TraceContract
from opik_eval.testing.storage_writes import LifecycleContract, WriteContract

__all__ = [
    "AgreementContract",
    "DatasetContract",
    "FilterContract",
    "ItemContract",
    "LifecycleContract",
    "RunContract",
    "ScoreContract",
    "StorageCase",
    "StorageContract",
    "TraceContract",
    "ValueContract",
    "WriteContract",
]


class StorageContract(
    WriteContract,
    LifecycleContract,
    TraceContract,
    ScoreContract,
    DatasetContract,
    ItemContract,
    RunContract,
    ValueContract,
    FilterContract,
    AgreementContract,
):
    """All of the battery."""
