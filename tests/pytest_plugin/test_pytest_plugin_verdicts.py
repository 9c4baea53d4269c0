"""What becomes of units that end in unusual ways, or run in unusual places."""

from __future__ import annotations

import pytest
from plugin_runs import outcomes


def reasons(result) -> dict[str, str]:
    """Return the reason of the score ``Passed`` by the test's name."""
    return {
        str(row.test_case.dataset_item_content["test"]).rpartition("::")[2]: score.reason or ""
        for row in result.test_results
        for score in row.score_results
    }


def by_name(result) -> dict[str, float | None]:
    """Return the score ``Passed`` by the test's name."""
    return {test.rpartition("::")[2]: value for test, value in outcomes(result).items()}


def test_unittest(run, only_result):
    """Methods of a TestCase keep their errors to themselves; the score is right all the same."""
    run("""
        import unittest
        from opik_eval import llm_unit, opik_context

        class Cases(unittest.TestCase):
            @llm_unit()
            def test_good(self): ...

            @llm_unit()
            def test_bad(self):
                self.assertEqual(1, 2)

            @llm_unit()
            def test_skips(self):
                self.skipTest("not today")

            @llm_unit()
            def test_parts(self):
                for n in range(3):
                    with self.subTest(n=n):
                        self.assertNotEqual(n, 1)

        class Later(unittest.IsolatedAsyncioTestCase):
            @llm_unit()
            async def test_awaits(self):
                opik_context.update_current_trace(output={"said": "yes"})
    """)
    result = only_result()
    assert by_name(result) == {
        "test_good": 1.0,
        "test_bad": 0.0,
        "test_parts": 0.0,
        "test_awaits": 1.0,
    }
    assert reasons(result)["test_bad"] == "AssertionError: 1 != 2"
    (later,) = (
        row.test_case.task_output
        for row in result.test_results
        if "test_awaits" in str(row.test_case.dataset_item_content["test"])
    )
    assert later == {"said": "yes"}


def test_verdicts_that_pytest_makes(run, only_result):
    """Failed subtests and a strict xfail that passes are failures, as they are in the summary."""
    pytest.importorskip("_pytest.subtests", reason="subtests came with pytest 9")
    run("""
        import pytest
        from opik_eval import llm_unit

        @llm_unit()
        def test_parts(subtests):
            for n in range(3):
                with subtests.test(n=n):
                    assert n != 1

        @llm_unit()
        @pytest.mark.xfail(strict=True)
        def test_passes_unexpectedly(): ...

        @llm_unit()
        @pytest.mark.xfail
        def test_may_pass(): ...
    """)
    result = only_result()
    assert by_name(result) == {
        "test_parts": 0.0,
        "test_passes_unexpectedly": 0.0,
        "test_may_pass": 1.0,
    }
    assert reasons(result)["test_parts"] == "AssertionError: assert 1 != 1"
    assert "XPASS(strict)" in reasons(result)["test_passes_unexpectedly"]


def test_an_exception_without_text(run, only_result):
    """It stays the test's failure, and the unit is recorded."""
    outcome = run("""
        from opik_eval import llm_unit

        class Mute(Exception):
            def __str__(self):
                raise RuntimeError

        @llm_unit()
        def test_mute():
            raise Mute
    """)
    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines(["FAILED test_it.py::test_mute - test_it.Mute*"])
    assert reasons(only_result()) == {"test_mute": "Mute: <message cannot be shown>"}


@pytest.mark.filterwarnings("ignore:Module already imported so cannot be rewritten")
def test_coroutines_run_within_their_trace(run, only_result, store):
    """Also where the plug-in that runs them began its task before the test, for a fixture."""
    run(
        """
        import pytest
        from opik_eval import llm_unit, opik_context, track

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def question():
            yield "why?"

        @track
        async def answer():
            return "so"

        @llm_unit(input_key="question")
        @pytest.mark.anyio
        async def test_answer(question):
            opik_context.update_current_trace(output={"answer": await answer()})
        """,
        "-p",
        "anyio",
    ).assert_outcomes(passed=1)
    (row,) = only_result().test_results
    assert row.test_case.task_output == {"answer": "so"}
    assert [span.name for span in store.list_spans(trace_ids=[row.test_case.trace_id])] == [
        "answer"
    ]


def test_coroutines_that_nothing_runs(run, only_result):
    """Without a plug-in for them they fail, and the score says so."""
    run(
        """
        from opik_eval import llm_unit

        @llm_unit()
        async def test_alone(): ...
        """,
        "-p",
        "no:anyio",
    ).assert_outcomes(failed=1)
    assert by_name(only_result()) == {"test_alone": 0.0}


def test_every_place_where_the_mark_may_stand(run, only_result):
    """Above a class, above and below static methods and parametrization."""
    run("""
        import pytest
        from opik_eval import llm_unit

        @llm_unit()
        class TestMarked:
            def test_one(self): ...
            def test_two(self): ...

        class TestStatic:
            @llm_unit()
            @staticmethod
            def test_above(): ...

            @staticmethod
            @llm_unit()
            def test_below(): ...

        @pytest.mark.parametrize("input", [1])
        @llm_unit()
        def test_within(input): ...

        def test_other(): ...
    """).assert_outcomes(passed=6)
    names = {"test_one", "test_two", "test_above", "test_below", "test_within[1]"}
    assert by_name(only_result()).keys() == names
