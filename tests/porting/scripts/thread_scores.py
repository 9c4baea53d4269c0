"""A chat that is traced turn by turn, and scored as a whole afterwards."""

from typing import Any

import opik
from opik import opik_context
from opik.evaluation import evaluate_threads
from opik.evaluation.metrics import ConversationThreadMetric, score_result

REPLIES = {"Hi": "Hello!", "My parcel is late": "I am sorry. Which number has it?", "42": "Thanks."}


@opik.track(project_name="support-chat")
def answer(question: str, thread: str) -> str:
    opik_context.update_current_trace(thread_id=thread)
    return REPLIES[question]


for question in REPLIES:
    answer(question, "conversation-1")
answer("Hi", "conversation-2")
opik.flush_tracker()


class Apologies(ConversationThreadMetric):
    def score(self, conversation: Any, **kwargs: Any):
        said = [m["content"] for m in conversation if m["role"] == "assistant"]
        value = sum("sorry" in text for text in said) / len(said)
        return score_result.ScoreResult(name=self.name, value=value, reason=f"{len(said)} answers")


result = evaluate_threads(
    project_name="support-chat",
    filter_string='id = "conversation-1"',
    eval_project_name="chat-evaluation",
    metrics=[Apologies(name="apologies")],
    trace_input_transform=lambda input: input["question"],
    trace_output_transform=lambda output: output["output"],
    num_workers=4,
    max_traces_per_thread=100,
    verbose=0,
)
(thread,) = result.results
assert thread.thread_id == "conversation-1"
assert abs(thread.scores[0].value - 1 / 3) < 1e-9

client = opik.Opik(project_name="support-chat")
found = {t.id: t for t in client.search_threads(project_name="support-chat")}
assert [s.name for s in found["conversation-1"].feedback_scores] == ["apologies"]
assert not found["conversation-2"].feedback_scores
client.end()
