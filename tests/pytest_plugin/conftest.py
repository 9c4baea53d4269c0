"""Runs of pytest within tests, with the plug-in as a user has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from opik_eval import compare, config, evaluate
from opik_eval.experiments import EvaluationResult, load_result, result_text
from opik_eval.metrics import Equals
from opik_eval.pytest_plugin import baseline, recording, report, session  # noqa: F401 - see loaded
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage

Run = Callable[..., pytest.RunResult]


@pytest.fixture(scope="session", autouse=True)
def loaded() -> None:
    """Load here what an inner run would load first, and forget when it ends."""
    result = evaluate(
        [{"output": "a", "reference": "a"}], dict, [Equals()], storage="memory:", verbose=0
    )
    compare(result, result).assert_no_regression(margin=2)
    result_text(result)


@pytest.fixture
def store(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """The store that inner runs use."""
    target = f"file:{pytester.path / 'runs.db'}"
    monkeypatch.setenv("OPIK_EVAL_STORAGE", target)
    config.settings.cache_clear()
    opened = open_storage(target)
    yield opened
    opened.close()


@pytest.fixture
def run(pytester: pytest.Pytester, store: Storage) -> Run:
    """Run pytest on a module in this process; ``subprocess=True`` = in one of its own."""

    def run(code: str, *options: str, subprocess: bool = False) -> pytest.RunResult:
        pytester.makepyfile(test_it=code)
        options = ("-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:randomly", *options)
        start = pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess
        return start(*options)

    return run


@pytest.fixture
def only_result(store: Storage) -> Callable[[], EvaluationResult]:
    """Read the one experiment of the store."""

    def read() -> EvaluationResult:
        (experiment,) = store.list_experiments()
        return load_result(store, experiment.id)

    return read
