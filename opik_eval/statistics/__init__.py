"""Statistics on plain sequences of numbers; numpy and scipy load on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

if TYPE_CHECKING:
    from opik_eval.statistics.agreement import (
        Agreement,
        BinaryConfusion,
        cohen_kappa,
        confusion,
        krippendorff_alpha,
    )
    from opik_eval.statistics.correction import (
        Corrected,
        prediction_powered_mean,
        rogan_gladen,
    )
    from opik_eval.statistics.correlation import (
        correlate,
    )
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
    from opik_eval.statistics.ranking import (
        Game,
        Rated,
        bradley_terry,
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
    "Agreement": "agreement",
    "BinaryConfusion": "agreement",
    "Corrected": "correction",
    "Design": "power",
    "Estimate": "intervals",
    "Game": "ranking",
    "IntervalMethod": "intervals",
    "PairedBinary": "power",
    "PairedComparison": "paired",
    "PairedNumeric": "power",
    "Rated": "ranking",
    "Reducer": "reducers",
    "Verdict": "paired",
    "at_least_k": "reducers",
    "benjamini_hochberg": "paired",
    "bradley_terry": "ranking",
    "cohen_kappa": "agreement",
    "compare_paired": "paired",
    "confusion": "agreement",
    "correlate": "correlation",
    "design_of": "power",
    "holm": "paired",
    "krippendorff_alpha": "agreement",
    "maximum": "reducers",
    "mean": "reducers",
    "mean_interval": "intervals",
    "median": "reducers",
    "minimum_detectable_effect": "power",
    "mode": "reducers",
    "needed_pairs": "power",
    "pass_at_k": "reducers",
    "pass_hat_k": "reducers",
    "prediction_powered_mean": "correction",
    "reducer": "reducers",
    "rogan_gladen": "correction",
    "verdict_on": "paired",
}

__all__ = [
    "Agreement",
    "BinaryConfusion",
    "Corrected",
    "Design",
    "Estimate",
    "Game",
    "IntervalMethod",
    "PairedBinary",
    "PairedComparison",
    "PairedNumeric",
    "Rated",
    "Reducer",
    "Verdict",
    "at_least_k",
    "benjamini_hochberg",
    "bradley_terry",
    "cohen_kappa",
    "compare_paired",
    "confusion",
    "correlate",
    "design_of",
    "holm",
    "krippendorff_alpha",
    "maximum",
    "mean",
    "mean_interval",
    "median",
    "minimum_detectable_effect",
    "mode",
    "needed_pairs",
    "pass_at_k",
    "pass_hat_k",
    "prediction_powered_mean",
    "reducer",
    "rogan_gladen",
    "verdict_on",
]

__getattr__, __dir__ = lazily(__name__, _HOME)
