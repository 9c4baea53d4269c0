"""``run_simulation``: an application talks to a simulated user."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypedDict, cast

from opik_eval.concurrency import run_sync
from opik_eval.errors import ConfigError, OpikEvalError, TaskError
from opik_eval.ids import new_id
from opik_eval.prompts.messages import Message
from opik_eval.tracing import start_as_current_trace


class Simulation(TypedDict):
    """A conversation that took place.

    Attributes:
        thread_id: The thread that its traces form.
        conversation_history: Its messages.
        project_name: Project of the traces; ``None`` = what the settings say.
        stop_reason: ``max_turns``, ``stop_when``, or ``error`` in what an error has so far.
    """

    thread_id: str
    conversation_history: list[Message]
    project_name: str | None
    stop_reason: str


class User(Protocol):
    """Says what a user would say next, such as ``SimulatedUser``."""

    def generate_response(self, conversation_history: list[Message], /) -> str:
        """Return it."""
        ...


def run_simulation(
    app: Callable[..., object],
    user_simulator: User,
    initial_message: str | None = None,
    max_turns: int = 5,
    thread_id: str | None = None,
    project_name: str | None = None,
    *,
    stop_when: Callable[[Sequence[Message]], bool] | None = None,
    **app_kwargs: object,
) -> Simulation:
    """Let a simulated user talk to an application, and return the conversation.

    Each turn is a trace of the thread, with the spans of what the application calls. The
    application keeps what it wants to know of earlier turns by the thread's id.

    Args:
        app: Function or coroutine function: the user's message in, a text or a message such as
            ``{"role": "assistant", "content": "Hello"}`` out. It also gets ``thread_id``, if it
            takes an argument of that name, and ``app_kwargs``.
        user_simulator: The user.
        initial_message: What the user says first; the simulated user decides if absent.
        max_turns: Turns at most; a turn is a message of the user and the answer.
        thread_id: The thread; a new one if absent.
        project_name: Project of the traces.
        stop_when: Told the messages after each turn, says whether the conversation is over.
        **app_kwargs: Handed to the application with each message.

    Raises:
        ConfigError: ``max_turns`` is less than 1.
        TaskError: The application failed, or returned something else; ``partial_result`` has the
            conversation up to there.
        ModelError: The simulated user failed; likewise.

    Example:
        >>> from opik_eval.simulation import SimulatedUser
        >>> def app(message: str, thread_id: str) -> str:
        ...     return message.upper()
        >>> user = SimulatedUser("curious", fixed_responses=["Hi", "Why?"])
        >>> simulation = run_simulation(app, user, max_turns=2)
        >>> [message["content"] for message in simulation["conversation_history"]]
        ['Hi', 'HI', 'Why?', 'WHY?']
    """
    if max_turns < 1:
        raise ConfigError(f"max_turns={max_turns} makes no turn", remedy="pass 1 or more")
    thread = thread_id or new_id()
    given = {"thread_id": thread} if _takes_thread(app) else {}
    simulation = Simulation(
        thread_id=thread, conversation_history=[], project_name=project_name, stop_reason="error"
    )
    history = simulation["conversation_history"]
    try:
        for turn in range(max_turns):
            first = initial_message if turn == 0 else None
            said = user_simulator.generate_response([*history]) if first is None else first
            history.append({"role": "user", "content": said})
            with start_as_current_trace(
                "simulated_turn",
                thread_id=thread,
                project_name=project_name,
                input={"message": said},
                metadata={"turn": turn + 1},
            ) as trace:
                answer = _answer(app, said, {**given, **app_kwargs}, turn + 1)
                trace.update(output={"message": answer["content"]})
            history.append(answer)
            if stop_when is not None and stop_when([*history]):
                return {**simulation, "stop_reason": "stop_when"}
    except OpikEvalError as error:
        error.partial_result = simulation  # type: ignore[attr-defined]
        raise
    return {**simulation, "stop_reason": "max_turns"}


def _takes_thread(app: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(app).parameters.values()
    except ValueError:  # built-ins without a signature
        return False
    return any(p.name == "thread_id" or p.kind is p.VAR_KEYWORD for p in parameters)


def _answer(
    app: Callable[..., object], said: str, arguments: Mapping[str, object], turn: int
) -> Message:
    try:
        returned = app(said, **arguments)
        if inspect.isawaitable(returned):
            returned = run_sync(lambda: _awaited(cast("Awaitable[object]", returned)))
    except Exception as error:
        raise TaskError(
            f"the application failed in turn {turn}: {type(error).__name__}: {error}",
            remedy="partial_result of this error has the conversation up to there",
        ) from error
    if isinstance(returned, str):
        return {"role": "assistant", "content": returned}
    if isinstance(returned, Mapping) and isinstance(returned.get("content"), str):
        return {"role": "assistant", **returned}
    raise TaskError(
        f"the application returned a {type(returned).__name__} in turn {turn}",
        remedy="return a text, or a message such as {'role': 'assistant', 'content': 'Hello'}",
    )


async def _awaited(awaitable: Awaitable[object]) -> object:
    return await awaitable
