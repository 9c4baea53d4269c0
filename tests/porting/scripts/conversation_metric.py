"""A conversation metric of one's own, and Opik's error for what cannot be scored."""

from typing import Any

from opik.evaluation.metrics import (
    ConversationDegenerationMetric,
    ConversationThreadMetric,
    MetricComputationError,
    score_result,
)
from opik.evaluation.metrics.conversation import conversation_thread_metric, types

assert conversation_thread_metric.ConversationThreadMetric is ConversationThreadMetric


class ConversationLength(ConversationThreadMetric):
    def __init__(self, name: str = "conversation_length_score"):
        super().__init__(name)

    def score(self, conversation: types.Conversation, **kwargs: Any):
        turns = sum(1 for message in conversation if message["role"] == "assistant")
        return score_result.ScoreResult(name=self.name, value=turns, reason=f"{turns} turns")


chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there"}]
assert ConversationLength().score(chat).value == 1

try:
    ConversationDegenerationMetric().score(conversation=[])
except MetricComputationError:
    pass
else:
    raise AssertionError("an empty conversation was scored")
