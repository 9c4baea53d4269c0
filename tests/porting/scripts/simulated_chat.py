"""A simulated user talks to an application, which remembers by thread."""

import opik
from opik import SimulatedUser, run_simulation

memory: dict[str, list[str]] = {}


@opik.track
def agent(user_message: str, *, thread_id: str, tone: str, **kwargs):
    said = memory.setdefault(thread_id, [])
    said.append(user_message)
    return {"role": "assistant", "content": f"{tone} answer {len(said)}"}


simulation = run_simulation(
    app=agent,
    user_simulator=SimulatedUser(
        persona="You are a customer who wants a refund.",
        fixed_responses=["I want my money back.", "When do I get it?"],
    ),
    initial_message="Hello.",
    max_turns=3,
    project_name="simulations",
    tone="friendly",
)
history = simulation["conversation_history"]
assert [m["role"] for m in history] == ["user", "assistant"] * 3
assert [m["content"] for m in history if m["role"] == "user"] == [
    "Hello.",
    "I want my money back.",
    "When do I get it?",
]
assert history[-1]["content"] == "friendly answer 3"
assert list(memory) == [simulation["thread_id"]]
assert simulation["project_name"] == "simulations"
opik.flush_tracker()
