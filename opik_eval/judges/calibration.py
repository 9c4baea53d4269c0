"""Is a judge any good? Its scores against labels by people.

Three kinds of label: yes and no (a bool, 0 or 1), numbers, and words. Numbers and yes/no are held
against the score's value, words against its ``category_name``. A label says what the score should
have been: 1 for a made-up answer, if the judge's score is 1 for made-up answers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from opik_eval.errors import ConfigError
from opik_eval.judges.scoring import score_items
from opik_eval.metrics.base import BaseMetric, ScoreResult
from opik_eval.statistics.agreement import (
    Agreement,
    BinaryConfusion,
    Level,
    cohen_kappa,
    confusion,
    krippendorff_alpha,
)
from opik_eval.statistics.correction import Corrected, prediction_powered_mean, rogan_gladen
from opik_eval.statistics.correlation import Correlation, correlate
from opik_eval.statistics.threshold import choose_threshold

Label = bool | int | float | str
Scores = Sequence[ScoreResult | float | str | None]
Kind = Literal["binary", "numbers", "words"]

_LARGEST_SCALE = 20  # distinct numbers that may still be the points of one scale


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """An item on which judge and people differ.

    Attributes:
        index: Its place among the labelled items.
        item: The item, if items were given.
        label: What people say.
        score: What the judge says, with its reason.
    """

    index: int
    item: Mapping[str, object]
    label: Label
    score: ScoreResult


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a judge does against people.

    Attributes:
        kind: What the labels are.
        n: Items with label and score.
        n_failed: Items without a score; in none of the other numbers.
        base_rate: Share of the most frequent label: what always saying the same would get right.
        threshold: Scores from here on are a yes; ``None`` unless the labels are yes and no.
        threshold_source: Where it comes from.
        n_tested: Items that the following three rest on: all, or those that did not serve to choose
            the threshold.
        kappa: Cohen's kappa: of yes and no, of words, or weighted quadratically for numbers of a
            common scale; NaN for other numbers.
        balanced_accuracy: Mean of sensitivity and specificity; ``None`` unless yes and no.
        confusion: Yes and no against each other; ``None`` for other labels.
        alpha: Krippendorff's alpha by level. ``nominal`` compares what is compared for kappa, the
            others the scores themselves.
        correlations: ``pearson``, ``spearman`` and ``kendall`` of scores and labels.
        counts: How often each label met each verdict, as (label, verdict).
        disagreements: The items to read, the worst first.
        scores: The judge's values of the items with label and score.
        labels: Their labels, as numbers.
    """

    kind: Kind
    n: int
    n_failed: int
    base_rate: float
    kappa: Agreement
    n_tested: int
    threshold: float | None = None
    threshold_source: str = ""
    balanced_accuracy: Agreement | None = None
    confusion: BinaryConfusion | None = None
    alpha: Mapping[str, Agreement] = field(default_factory=dict)
    correlations: Mapping[str, Agreement] = field(default_factory=dict)
    counts: Mapping[tuple[Label, Label], int] = field(default_factory=dict)
    disagreements: Sequence[Disagreement] = ()
    scores: Sequence[float] = field(default=(), repr=False)
    labels: Sequence[float] = field(default=(), repr=False)

    def corrected_mean(
        self,
        scores: Scores,
        *,
        method: Literal["auto", "rogan-gladen", "prediction-powered"] = "auto",
        confidence: float = 0.95,
    ) -> Corrected:
        """Return the mean that people would give, from the judge's scores of other items.

        Args:
            scores: The judge's scores of items without label; failed ones are left out.
            method: ``rogan-gladen`` (the default for yes and no) corrects by sensitivity and
                specificity and allows the labelled items to have another base rate;
                ``prediction-powered`` (the default for numbers) demands labelled items drawn from
                the same population, and works for any scale.
            confidence: Coverage of the interval.

        Raises:
            ConfigError: The labels are words, or the method does not fit the labels.
        """
        values = [value for value in map(_value, scores) if value is not None]
        if method == "auto":
            method = "rogan-gladen" if self.confusion else "prediction-powered"
        if method == "rogan-gladen":
            if self.confusion is None or self.threshold is None:
                raise ConfigError(
                    "Rogan-Gladen corrects a share of yes, but the labels are no yes and no",
                    remedy="use method='prediction-powered', or give positive_from",
                )
            verdicts = [value >= self.threshold for value in values]
            return rogan_gladen(verdicts, self.confusion, confidence=confidence)
        return prediction_powered_mean(values, self.scores, self.labels, confidence=confidence)

    def __str__(self) -> str:
        lines = [
            f"{self.n} labelled items, {self.n_failed} without score; "
            f"the most frequent label has {self.base_rate:.0%}",
            f"kappa {self.kappa}",
        ]
        if self.balanced_accuracy is not None and self.confusion is not None:
            lines += [
                f"balanced accuracy {self.balanced_accuracy}",
                f"sensitivity {self.confusion.sensitivity:.3f}, specificity "
                f"{self.confusion.specificity:.3f}, threshold {self.threshold:g} "
                f"({self.threshold_source})",
            ]
        lines += [f"alpha ({level}) {value}" for level, value in self.alpha.items()]
        lines += [f"{name} {value}" for name, value in self.correlations.items()]
        return "\n".join([*lines, f"{len(self.disagreements)} disagreements"])


def calibrate(
    judge: BaseMetric | Scores,
    labelled_items: Sequence[Mapping[str, object] | Label],
    *,
    label: str = "label",
    threshold: float | None = None,
    positive_from: float | None = None,
    dev_share: float = 0.4,
    seed: int = 0,
    confidence: float = 0.95,
) -> Calibration:
    """Hold a judge's scores against labels by people.

    Where labels are yes and no but scores are not, a threshold is needed. Unless it is given, it is
    chosen on a part of the items, for the best balanced accuracy, and tested on the others: a
    threshold tested on the items it was chosen on looks better than it is.

    Args:
        judge: A metric, which scores all items concurrently; or scores that are there already.
        labelled_items: Mappings with what the judge needs and the label; with scores, plain labels
            will do.
        label: Key of the label.
        threshold: Scores from here on are a yes.
        positive_from: Labels from here on are a yes, where labels are numbers.
        dev_share: Share of the items that serve to choose the threshold, in (0, 1).
        seed: Which items these are.
        confidence: Coverage of all intervals.

    Raises:
        ConfigError: Items and scores do not match, or there is nothing to compare.
        MissingArgumentError: The items lack something that the judge needs.
        BudgetExceededError: A call would pass a limit of the budget.

    Example:
        >>> scores = [0.9, 0.8, 0.75, 0.3, 0.2, 0.6, 0.1, 0.85]
        >>> found = calibrate(scores, [1, 1, 1, 0, 0, 1, 0, 0], threshold=0.5)
        >>> found.confusion.sensitivity, found.confusion.specificity, len(found.disagreements)
        (1.0, 0.75, 1)
    """
    items = [item if isinstance(item, Mapping) else {label: item} for item in labelled_items]
    labels = [_label_of(item, label, index) for index, item in enumerate(items)]
    scores = _given(judge) if isinstance(judge, Sequence) else score_items(judge, items)
    if len(scores) != len(labels):
        raise ConfigError(f"{len(scores)} scores but {len(labels)} labelled items")
    cases = [
        Disagreement(index=index, item=items[index], label=labels[index], score=score)
        for index, score in enumerate(scores)
    ]
    if any(isinstance(case.label, str) for case in cases):
        return _of_words(cases, confidence)
    scored = [case for case in cases if _value(case.score) is not None]
    if len(scored) < 2:
        raise ConfigError(
            f"{len(scored)} of {len(cases)} labelled items have a score; nothing can be compared",
            remedy=_first_reason(cases),
        )
    found = _of_numbers(scored, len(cases), confidence)
    truth = _yes_or_no(found.labels, positive_from)
    if truth is None:
        return found
    tested: Sequence[int] = range(found.n)
    source = "given"
    if threshold is None and set(found.scores) <= {0.0, 1.0}:
        threshold, source = 0.5, "the scores are 0 and 1"
    elif threshold is None:
        threshold, dev, tested = choose_threshold(
            found.scores, truth, dev_share=dev_share, seed=seed
        )
        source = f"chosen on {len(dev)} other items"
    return _of_verdicts(found, scored, truth, _Cut(threshold, source, tested), confidence)


def _of_numbers(scored: Sequence[Disagreement], total: int, confidence: float) -> Calibration:
    values = [_value(case.score) or 0.0 for case in scored]
    labels = [float(case.label) for case in scored]
    frequent = Counter(labels).most_common(1)[0][1]
    common = set(values) | set(labels)
    on_one_scale = len(common) <= _LARGEST_SCALE
    kappa = Agreement(math.nan, math.nan, math.nan, len(scored))
    if on_one_scale:
        kappa = cohen_kappa(values, labels, weights="quadratic", confidence=confidence)
    pairs = [list(pair) for pair in zip(values, labels, strict=True)]
    methods: tuple[Correlation, ...] = ("pearson", "spearman", "kendall")
    levels: tuple[Level, ...] = ("ordinal", "interval")
    return Calibration(
        kind="numbers",
        n=len(scored),
        n_failed=total - len(scored),
        base_rate=frequent / len(labels),
        kappa=kappa,
        n_tested=len(scored),
        alpha={
            level: krippendorff_alpha(pairs, level=level, confidence=confidence) for level in levels
        },
        correlations={
            method: correlate(values, labels, method=method, confidence=confidence)
            for method in methods
        },
        counts=Counter(zip(labels, values, strict=True)) if on_one_scale else {},
        disagreements=sorted(
            (case for case, (value, label) in zip(scored, pairs, strict=True) if value != label),
            key=lambda case: -abs((_value(case.score) or 0.0) - float(case.label)),
        ),
        scores=values,
        labels=labels,
    )


class _Cut(NamedTuple):
    """A threshold, where it comes from, and the items it may be tested on."""

    threshold: float
    source: str
    tested: Sequence[int]


def _of_verdicts(
    found: Calibration,
    scored: Sequence[Disagreement],
    truth: Sequence[bool],
    cut: _Cut,
    confidence: float,
) -> Calibration:
    verdicts = [value >= cut.threshold for value in found.scores]
    judged = confusion([verdicts[i] for i in cut.tested], [truth[i] for i in cut.tested])
    pairs = list(zip(verdicts, truth, strict=True))
    wrong = [scored[i] for i, (verdict, right) in enumerate(pairs) if verdict != right]
    return replace(
        found,
        kind="binary",
        base_rate=max(sum(truth), len(truth) - sum(truth)) / len(truth),
        kappa=cohen_kappa(
            [verdicts[i] for i in cut.tested], [truth[i] for i in cut.tested], confidence=confidence
        ),
        n_tested=len(cut.tested),
        threshold=cut.threshold,
        threshold_source=cut.source,
        balanced_accuracy=judged.balanced_accuracy(confidence=confidence),
        confusion=judged,
        alpha={
            "nominal": krippendorff_alpha(
                [[float(verdict), float(right)] for verdict, right in pairs], confidence=confidence
            ),
            **found.alpha,
        },
        counts=Counter((right, verdict) for verdict, right in pairs),
        disagreements=sorted(
            wrong, key=lambda case: -abs((_value(case.score) or 0.0) - cut.threshold)
        ),
        labels=[float(right) for right in truth],
    )


def _of_words(cases: Sequence[Disagreement], confidence: float) -> Calibration:
    scored = [case for case in cases if case.score.category_name is not None]
    labels = [str(case.label) for case in scored]
    verdicts = [str(case.score.category_name) for case in scored]
    if len(scored) < 2:
        raise ConfigError(
            f"{len(scored)} of {len(cases)} scores have a category_name to compare with labels "
            "that are words",
            remedy="use a judge with labels, or make the labels numbers",
        )
    place = {word: index for index, word in enumerate(sorted({*labels, *verdicts}))}
    pairs = list(zip(labels, verdicts, strict=True))
    return Calibration(
        kind="words",
        n=len(scored),
        n_failed=len(cases) - len(scored),
        base_rate=Counter(labels).most_common(1)[0][1] / len(labels),
        kappa=cohen_kappa(labels, verdicts, confidence=confidence),
        n_tested=len(scored),
        alpha={
            "nominal": krippendorff_alpha(
                [[place[label], place[verdict]] for label, verdict in pairs], confidence=confidence
            )
        },
        counts=Counter(pairs),
        disagreements=[case for case in scored if case.label != case.score.category_name],
    )


def _yes_or_no(labels: Sequence[float], positive_from: float | None) -> list[bool] | None:
    if positive_from is None and not set(labels) <= {0.0, 1.0}:
        return None
    return [label >= (0.5 if positive_from is None else positive_from) for label in labels]


def _given(scores: Scores) -> list[ScoreResult]:
    return [
        score
        if isinstance(score, ScoreResult)
        else ScoreResult("score", None, category_name=score)
        if isinstance(score, str)
        else ScoreResult("score", score)
        for score in scores
    ]


def _value(score: ScoreResult | float | str | None) -> float | None:
    if isinstance(score, ScoreResult):
        return float(score.value) if score.is_scored and score.value is not None else None
    if isinstance(score, int | float) and math.isfinite(score):
        return float(score)
    return None


def _label_of(item: Mapping[str, object], key: str, index: int) -> Label:
    label = item.get(key)
    if isinstance(label, str) or (isinstance(label, int | float) and math.isfinite(label)):
        return label
    raise ConfigError(
        f"labelled item {index} has {label!r:.60} as {key!r}, not a label",
        remedy="a label is a bool, a number or a word; name its key with label=...",
    )


def _first_reason(cases: Sequence[Disagreement]) -> str:
    reasons = (case.score.reason for case in cases if case.score.reason)
    return f"the first failure: {next(reasons, 'no reason is given')}"


__all__ = [
    "Calibration",
    "Disagreement",
    "Label",
    "calibrate",
]
