"""Conversations on a server are scored there, through the client."""

from __future__ import annotations

from opik_eval import Opik
from opik_eval.evaluation import evaluate_threads
from opik_eval.ids import new_id
from opik_eval.metrics import BaseMetric
from opik_eval.storage.opening import open_storage


class Turns(BaseMetric):
    def score(self, conversation, **ignored):
        return len(conversation) / 2


def test_conversations_of_a_server(server_url, monkeypatch, tmp_path):
    """Read over HTTP, scored here, the scores found on the threads there."""
    monkeypatch.chdir(tmp_path)
    storage, project = open_storage(server_url), f"chat-{new_id()}"
    client = Opik(storage=storage, project_name=project)
    for thread, turns in (("t1", 3), ("t2", 1)):
        for n in range(turns):
            trace = client.trace(thread_id=thread, input={"q": f"q{n}"})
            trace.end(output={"a": f"a{n}"})
    assert client.flush(30)
    result = evaluate_threads(
        project,
        None,
        f"judging-{project}",
        [Turns(name="turns")],
        lambda payload: payload["q"],
        lambda payload: payload["a"],
        storage=storage,
        verbose=0,
    )
    assert {r.thread_id: r.scores[0].value for r in result.results} == {"t1": 3.0, "t2": 1.0}
    assert client.flush(30)
    found = {thread.id: thread.feedback_scores for thread in client.search_threads(project)}
    assert {key: [s.value for s in scores] for key, scores in found.items()} == {
        "t1": [3.0],
        "t2": [1.0],
    }
    client.end()
    storage.close()
