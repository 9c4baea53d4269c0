"""The one tree of errors.

OpikEvalError
├── ConfigError                 settings, arguments and run files
├── DatasetError                datasets and the files they come from
├── StorageError                the store, whatever its backend
│   ├── NotFoundError           what was asked for does not exist
│   ├── ConflictError           the write contradicts what is stored
│   ├── UnavailableError        locked, read-only, full, unreachable
│   ├── PayloadError            a payload on the wire does not describe a record
│   └── SchemaVersionError      written by a newer version than this one
├── PromptError                 templates and messages that cannot be rendered
├── TaskError                   the user's task failed or returned something unusable
├── MetricError                 a metric could not compute a score
│   └── MissingArgumentError    a metric lacks an argument that nothing supplies
├── JudgeError                  a judge could not reach a verdict
│   └── ParseError              a model's reply does not fit the schema
├── ModelError                  a call to a model failed
│   ├── AuthenticationError     the provider refused the key
│   ├── InvalidRequestError     the provider refused the request
│   ├── RateLimitedError        429 (retryable)
│   ├── ModelUnavailableError   5xx, connection lost, broken reply (retryable)
│   ├── ModelTimeoutError       no reply in time (retryable)
│   ├── ContextOverflowError    the prompt does not fit the model's context
│   ├── EmptyReplyError         a reply without text and without tool calls (retryable)
│   └── CacheMissError          replay mode found no recorded reply
├── BudgetExceededError         the next step would pass a limit of the budget
└── TracingError                a tracing function was called where nothing is traced
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class OpikEvalError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        message: What went wrong, where and why.
        remedy: What the user can do about it; shown on a line of its own.
    """

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message if self.remedy is None else f"{self.message}\n  → {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (joblib workers) and keep all they carry.
        return _restore, (type(self), self.__dict__.copy(), self.args)


def _restore(
    kind: type[OpikEvalError], state: Mapping[str, object], args: Sequence[object]
) -> OpikEvalError:
    error = kind.__new__(kind)
    error.args = tuple(args)
    error.__dict__.update(state)
    return error


class ConfigError(OpikEvalError):
    """A setting, an argument or a run file is wrong."""


class DatasetError(OpikEvalError):
    """A dataset, or the file it comes from, cannot be used."""


class StorageError(OpikEvalError):
    """The store could not do what was asked."""


class NotFoundError(StorageError):
    """What was asked for does not exist."""


class ConflictError(StorageError):
    """The write contradicts what is stored."""


class UnavailableError(StorageError):
    """The store is locked, read-only, full or unreachable."""


class PayloadError(StorageError):
    """A payload does not describe a record.

    Args:
        kind: What it should describe, such as ``trace``.
        problems: Pairs of field and what is wrong with it.
    """

    def __init__(self, kind: str, problems: Sequence[tuple[str, str]]) -> None:
        listed = "; ".join(f"{field}: {reason}" if field else reason for field, reason in problems)
        super().__init__(f"this is no {kind.replace('_', ' ')}: {listed}")
        self.kind = kind
        self.problems = tuple(problems)


class SchemaVersionError(StorageError):
    """The data was written by a newer version of this package."""


class PromptError(OpikEvalError):
    """A template or message cannot be rendered."""


class TaskError(OpikEvalError):
    """The user's task failed or returned something that cannot be scored."""


class MetricError(OpikEvalError):
    """A metric could not compute a score."""


class MissingArgumentError(MetricError):
    """A metric needs an argument that neither item, task output nor mapping supplies.

    Args:
        metric: Name of the metric.
        missing: Arguments that nothing supplies.
        available: Keys that are there.
    """

    def __init__(self, metric: str, missing: Sequence[str], available: Sequence[str]) -> None:
        names = ", ".join(repr(name) for name in missing)
        super().__init__(
            f"metric {metric!r} needs {names}, but the item and the task output have only "
            f"{sorted(available)}",
            remedy="return the missing keys from the task, or name them in scoring_key_mapping, "
            f"for example scoring_key_mapping={{{next(iter(missing), 'reference')!r}: "
            "'expected_output'}",
        )
        self.metric = metric
        self.missing = tuple(missing)
        self.available = tuple(available)


class JudgeError(OpikEvalError):
    """A judge could not reach a verdict.

    Args:
        metadata: What is known about the attempt all the same, such as prompt versions and cost;
            kept with the failed score.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.metadata = metadata or {}


class ParseError(JudgeError):
    """A model's reply does not fit the schema that was asked for.

    Args:
        message: What does not fit.
        reply: The reply as it came.
        metadata: As in ``JudgeError``.
    """

    def __init__(
        self,
        message: str,
        *,
        reply: str,
        remedy: str | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, metadata=metadata)
        self.reply = reply


class ModelError(OpikEvalError):
    """A call to a model failed.

    Args:
        message: What failed, with the model's name.
        retry_after_seconds: How long the provider asked to wait, if it said so.
        status: HTTP status of the reply, if there was one.
    """

    retryable = False

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        retry_after_seconds: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_seconds = retry_after_seconds
        self.status = status


class AuthenticationError(ModelError):
    """The provider refused the key, or there is none."""


class InvalidRequestError(ModelError):
    """The provider refused the request as it was."""


class RateLimitedError(ModelError):
    """The provider asks for fewer requests."""

    retryable = True


class ModelUnavailableError(ModelError):
    """The provider failed, could not be reached or sent a broken reply."""

    retryable = True


class ModelTimeoutError(ModelError):
    """No reply came in time."""

    retryable = True


class ContextOverflowError(ModelError):
    """The prompt does not fit the model's context."""


class EmptyReplyError(ModelError):
    """The reply has neither text nor tool calls."""

    retryable = True


class CacheMissError(ModelError):
    """Replay mode found no recorded reply for a request."""


class BudgetExceededError(OpikEvalError):
    """The next step would pass a limit of the budget.

    Args:
        limit: Name of the limit, such as ``cost_usd``.
        allowed: Its value.
        used: What is spent and reserved so far.
    """

    def __init__(self, limit: str, *, allowed: float, used: float) -> None:
        super().__init__(
            f"budget exceeded: {limit} is limited to {allowed:g} and {used:g} is spent or reserved",
            remedy=f"raise {limit} in the budget and resume; finished work is kept",
        )
        self.limit = limit
        self.allowed = allowed
        self.used = used


class TracingError(OpikEvalError):
    """A tracing function was called where nothing is being traced."""
