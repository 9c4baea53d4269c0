"""Embeddings by name of a model."""

from __future__ import annotations

import pickle

import pytest

from opik_eval import errors
from opik_eval.concurrency import run_sync
from opik_eval.metrics import EmbeddingSimilarity
from opik_eval.models import Budget, RetryPolicy, embedding_function, use_models
from opik_eval.testing.fake_replies import failure, rate_limited
from opik_eval.testing.fake_server import FakeServer

PATIENT = RetryPolicy(max_attempts=3, base_delay_seconds=0)


@pytest.fixture
def server():
    """Serve embeddings on loopback."""
    with FakeServer() as server:
        yield server


def function(server, **options):
    """Return a function of a model that the server serves."""
    options = {"api_base": server.base_url, "api_key": "sk-test", "retry": PATIENT, **options}
    return embedding_function("openai/embedder", **options)


def test_texts_become_vectors_in_their_order(server):
    """By as few requests as the size of a batch allows; a pickled copy does the same."""
    embed = function(server, batch_size=2, dimensions=4)
    one, other, again = run_sync(lambda: embed(["a", "b", "a"]))
    assert one == again != other
    assert [len(request.body["input"]) for request in server.requests] == [2, 1]
    assert server.requests[0].body["dimensions"] == 4
    assert run_sync(lambda: pickle.loads(pickle.dumps(embed))([])) == []
    assert len(server.requests) == 2


def test_it_is_what_the_metric_wants(server):
    """The metric and the models meet in this function alone."""
    metric = EmbeddingSimilarity(function(server))
    assert metric.score(output="same", reference="same").value == pytest.approx(1.0)
    assert metric.score(output="same", reference="other").value < 1.0


def test_a_failure_that_may_pass_is_tried_again(server):
    """Within the policy; a final one is raised as what it is."""
    server.script(rate_limited("0"))
    assert len(run_sync(lambda: function(server)(["a"]))) == 1
    assert len(server.requests) == 2
    server.script(failure(401, "bad key"))
    with pytest.raises(errors.AuthenticationError):
        run_sync(lambda: function(server)(["a"]))


def test_budgets_hold(server):
    """Requests are reserved before they are sent, and estimates count as used."""
    budget = Budget(max_requests=1)

    async def spend():
        with use_models(budget=budget):
            await function(server)(["abcdef"])
            await function(server)(["b"])

    with pytest.raises(errors.BudgetExceededError):
        run_sync(spend)
    assert len(server.requests) == 1
    assert budget.report().tokens > 0


def test_a_wrong_parameter_is_not_tried_again(server):
    """Errors of ours are raised as they are, and the budget is settled."""
    budget = Budget(max_requests=1)

    async def spend():
        with use_models(budget=budget):
            await function(server, texts=["twice"])(["a"])

    with pytest.raises(TypeError):
        run_sync(spend)
    assert (server.requests, budget.report().requests) == ([], 1)


def test_a_model_without_embeddings_is_refused():
    """The remedy names one that has them."""
    with pytest.raises(errors.ConfigError, match="'fake/echo' has no embeddings"):
        run_sync(lambda: embedding_function("fake/echo")(["a"]))


def test_a_batch_holds_something():
    """A size below 1 is refused when the function is made."""
    with pytest.raises(errors.ConfigError, match="batch_size"):
        embedding_function("openai/embedder", batch_size=0)
