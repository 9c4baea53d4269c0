"""Statistics on plain sequences of numbers; numpy and scipy load on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opik_eval.statistics.intervals import Estimate, IntervalMethod, mean_interval
    from opik_eval.statistics.paired import (
        PairedComparison,
        Verdict,
        benjamini_hochberg,
        compare_paired,
        holm,
        verdict_on,
    )
    from opik_eval.statistics.power import (
        Design,
        PairedBinary,
        PairedNumeric,
        design_of,
        minimum_detectable_effect,
        needed_pairs,
    )
    from opik_eval.statistics.reducers import (
        Reducer,
        at_least_k,
        maximum,
        mean,
        median,
        mode,
        pass_at_k,
        pass_hat_k,
        reducer,
    )

_HOME = {
    "Design": "power",
    "Estimate": "intervals",
    "IntervalMethod": "intervals",
    "PairedBinary": "power",
    "PairedComparison": "paired",
    "PairedNumeric": "power",
    "Reducer": "reducers",
    "Verdict": "paired",
    "at_least_k": "reducers",
    "benjamini_hochberg": "paired",
    "compare_paired": "paired",
    "design_of": "power",
    "holm": "paired",
    "maximum": "reducers",
    "mean": "reducers",
    "mean_interval": "intervals",
    "median": "reducers",
    "minimum_detectable_effect": "power",
    "mode": "reducers",
    "needed_pairs": "power",
    "pass_at_k": "reducers",
    "pass_hat_k": "reducers",
    "reducer": "reducers",
    "verdict_on": "paired",
}

__all__ = [
    "Design",
    "Estimate",
    "IntervalMethod",
    "PairedBinary",
    "PairedComparison",
    "PairedNumeric",
    "Reducer",
    "Verdict",
    "at_least_k",
    "benjamini_hochberg",
    "compare_paired",
    "design_of",
    "holm",
    "maximum",
    "mean",
    "mean_interval",
    "median",
    "minimum_detectable_effect",
    "mode",
    "needed_pairs",
    "pass_at_k",
    "pass_hat_k",
    "reducer",
    "verdict_on",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
