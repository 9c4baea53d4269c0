"""A script written for Opik: prompts with versions, and an experiment linked to one."""

import opik
from opik.evaluation import evaluate
from opik.evaluation.metrics import Equals

client = opik.Opik()
first = client.create_prompt(name="greeting", prompt="Hello {{name}}", metadata={"owner": "us"})
same = client.create_prompt(name="greeting", prompt="Hello {{name}}", metadata={"owner": "us"})
assert first.commit == same.commit
second = client.create_prompt(name="greeting", prompt="Dear {{name}}", metadata={"owner": "us"})
assert second.commit != first.commit
assert client.get_prompt("greeting").prompt == "Dear {{name}}"
assert client.get_prompt("greeting", commit=first.commit).format(name="Ann") == "Hello Ann"
assert len(client.get_prompt_history("greeting")) == 2
assert client.get_prompt("nobody wrote this") is None
chat = client.create_chat_prompt("chat", [{"role": "user", "content": "Hi {{name}}"}])
assert chat.format(name="Bo") == [{"role": "user", "content": "Hi Bo"}]

result = evaluate(
    dataset=[{"name": "Ann", "reference": "Dear Ann"}],
    task=lambda item: {"output": second.format(name=item["name"])},
    scoring_metrics=[Equals()],
    prompts=[second],
)
assert result.aggregate_evaluation_scores().aggregated_scores["equals_metric"].mean == 1.0
