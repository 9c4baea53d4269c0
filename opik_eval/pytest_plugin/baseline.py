"""Baselines: results in files beside the tests, which later results are held against."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.experiments import EvaluationResult, compare, comparison_text
from opik_eval.experiments.comparison import Comparison
from opik_eval.experiments.pairing import items_of
from opik_eval.experiments.result import TestCase, TestResult
from opik_eval.metrics.base import ScoreResult
from opik_eval.serialization import content_hash

_FOLDER = "baselines"
_LONGEST_NAME = 120  # bytes: file systems take 255
_MOST_CHANGES = 20
_UNSAFE = re.compile(r"[^\w.=-]+")


class Baseline:
    """The baseline of one test, as its fixture ``baseline``.

    It is the file ``baselines/<module>/<test>.json`` beside the test, to be committed with it: the
    items, the outputs, the scores, and nothing that changes from run to run by itself, so that
    its diff shows what changed.

    Args:
        folder: Where the files of this test's module are.
        test: Name of the test with class and parameters.
        updating: Write the files instead of comparing with them.

    Example:
        A test that fails if accuracy has lost more than .02::

            def test_router(baseline):
                result = evaluate("cases.jsonl", route, [Equals()])
                baseline.check(result, margin=0.02)
    """

    def __init__(self, folder: Path, test: str, *, updating: bool) -> None:
        self._folder = folder
        self._test = test
        self._updating = updating
        self._paths: set[Path] = set()
        self._checks: list[dict[str, object]] = []

    @classmethod
    def beside(cls, module: Path, test: str, *, updating: bool) -> Baseline:
        """Return the baseline of a test of that module."""
        return cls(module.parent / _FOLDER / module.stem, test, updating=updating)

    def path(self, name: str | None = None) -> Path:
        """Return the file of this test, or of its check of that name."""
        return self._folder / f"{_file_name(self._test, name)}.json"

    def check(
        self,
        result: EvaluationResult,
        *,
        margin: float | Mapping[str, float],
        metrics: Sequence[str] | None = None,
        proven: bool = False,
        name: str | None = None,
    ) -> Comparison | None:
        """Fail if a result is worse than the baseline by more than ``margin``.

        Items are paired by content. With ``--update-baselines`` the result becomes the baseline.

        Args:
            result: What an evaluation returned.
            margin: Largest acceptable loss of a metric's mean, in its own unit, and rise of the
                share of missing results; one number, or one by metric.
            metrics: Metrics to check; all that have a direction if absent.
            proven: Fail also if a larger loss cannot be ruled out for other items like these, as
                with few items; see ``Comparison.assert_no_regression``.
            name: Tells apart several checks of one test.

        Returns:
            The comparison; ``None`` if the baseline was written.

        Raises:
            AssertionError: It is worse, there is no baseline yet, or the run is incomplete; or it
                is to become the baseline and would not even hold against itself.
            ConfigError: The file is damaged or cannot be written, or two checks of a test have one
                name.
            TypeError: It is no result of ``evaluate``.
        """
        __tracebackhide__ = True  # the test is what went wrong, not this
        if not isinstance(result, EvaluationResult):
            raise TypeError(
                f"a baseline checks what evaluate() and its like return, an EvaluationResult, "
                f"not a {type(result).__name__}"
            )
        path = self.path(name)
        if path in self._paths:
            raise ConfigError(
                f"two checks of this test share the baseline {path.name}",
                remedy="give each a name of its own: baseline.check(result, name=...)",
            )
        self._paths.add(path)
        if result.status != "completed":
            raise AssertionError(
                f"the run is {result.status}, so there is nothing to compare: {result.stop_reason}"
            )
        if self._updating:
            # What is asked for wrongly, or cannot be compared with anything, shows here already.
            own = comparable(result, "baseline")
            compare(own, own, metrics=metrics).assert_no_regression(
                margin=margin, metrics=metrics, proven=False
            )
            _write(own, path)
            self._note(path, None)
            return None
        current = comparable(result, result.experiment_name or "this run")
        comparison = compare(self._load(path), current, metrics=metrics)
        check = self._note(path, comparison)
        if gone := comparison.pairing.only_in_a:
            raise AssertionError(
                f"{gone} items of the baseline are not in this run; if that is meant, run with "
                "--update-baselines"
            )
        comparison.assert_no_regression(margin=margin, metrics=metrics, proven=proven)
        check["failed"] = False
        return comparison

    def take_checks(self) -> list[dict[str, object]]:
        """Return what became of the checks since the last call: see ``report.Check``."""
        taken, self._checks = self._checks, []
        return taken

    def _note(self, path: Path, comparison: Comparison | None) -> dict[str, object]:
        """Add a check, failed until more is known if it compares."""
        text = comparison and comparison_text(comparison, ascii_only=True, max_items=_MOST_CHANGES)
        check: dict[str, object] = {
            "path": str(path),
            "comparison": comparison and comparison.to_dict(),
            "failed": comparison is not None,
            "text": text or "",
        }
        self._checks.append(check)
        return check

    @staticmethod
    def _load(path: Path) -> EvaluationResult:
        __tracebackhide__ = True
        try:
            return EvaluationResult.load(path)
        except NotFoundError:
            raise AssertionError(
                f"there is no baseline {path} yet: run this test with --update-baselines, look at "
                "the file, and commit it"
            ) from None
        except OSError as error:
            raise ConfigError(f"the baseline {path} cannot be read: {error.strerror}") from error


def comparable(result: EvaluationResult, name: str) -> EvaluationResult:
    """Return what of a result does not change from run to run by itself, under a name.

    Ids of items come from their content; ids of traces, times, costs and tracebacks are left out.
    """
    ids = _ids_by_content(result)
    return EvaluationResult(
        experiment_id="",
        dataset_id=None,
        experiment_name=name,
        test_results=[_comparable_row(row, ids) for row in result.test_results],
        trial_count=result.trial_count,
        higher_is_better=result.higher_is_better,
    )


def _write(result: EvaluationResult, path: Path) -> None:
    __tracebackhide__ = True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        result.save(path)
    except OSError as error:
        raise ConfigError(
            f"the baseline {path} cannot be written: {error.strerror}",
            remedy="make it possible to write there; baselines lie beside the tests",
        ) from error


def _ids_by_content(result: EvaluationResult) -> dict[str, str]:
    seen: Counter[str] = Counter()
    ids = {}
    for item_id, runs in items_of(result.test_results).items():
        digest = content_hash(runs.content)[:16] if runs.content else item_id
        seen[digest] += 1
        ids[item_id] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return ids


def _comparable_row(row: TestResult, ids: Mapping[str, str]) -> TestResult:
    case = row.test_case
    content = dict(case.dataset_item_content)
    if content.get("id") == case.dataset_item_id:
        del content["id"]
    error = row.error
    return TestResult(
        test_case=TestCase(
            trace_id=None,
            dataset_item_id=ids[case.dataset_item_id],
            task_output=case.task_output,
            dataset_item_content=content,
        ),
        score_results=[
            ScoreResult(
                score.name,
                score.value,
                category_name=score.category_name,
                scoring_failed=score.scoring_failed,
            )
            for score in row.score_results
        ],
        trial_id=row.trial_id,
        error=error and error.model_copy(update={"traceback": ""}),
    )


def _file_name(test: str, name: str | None) -> str:
    wanted = test if name is None else f"{test}.{name}"
    safe = _UNSAFE.sub("-", wanted).encode()[:_LONGEST_NAME].decode(errors="ignore")
    # Names that differ only in what no file name may have stay apart, also where case is ignored.
    return safe if safe == wanted.lower() else f"{safe}-{content_hash(wanted)[:6]}"
