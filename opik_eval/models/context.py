"""What holds for every model call made inside a block, whoever makes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from opik_eval.errors import ConfigError
from opik_eval.models.budget import Budget
from opik_eval.models.cache import CacheMode, ResponseCache, checked_mode
from opik_eval.storage.base import CacheStore


@dataclass(frozen=True, kw_only=True)
class ModelContext:
    """Budgets and cache that apply here and now.

    Attributes:
        budgets: All of them hold.
        cache: For models that have none of their own.
        cache_mode: Replaces the mode of whatever cache is used.
    """

    budgets: tuple[Budget, ...] = ()
    cache: ResponseCache | None = None
    cache_mode: CacheMode | None = None

    def budgets_with(self, own: Budget | None) -> tuple[Budget, ...]:
        """Return all budgets that a model with this one of its own must keep, each once."""
        return self.budgets if own is None or own in self.budgets else (*self.budgets, own)

    def cache_for(self, own: ResponseCache | None) -> tuple[ResponseCache | None, CacheMode]:
        """Return the cache and mode for a model with this one of its own.

        Raises:
            ConfigError: A mode asks for a cache, and there is none.
        """
        cache = own or self.cache
        mode = self.cache_mode or (cache.mode if cache is not None else "off")
        if cache is None and mode != "off":
            raise ConfigError(
                f"cache_mode is {mode!r}, but there is no response cache",
                remedy="pass cache=open_storage() along with cache_mode",
            )
        return cache, mode


_NOTHING = ModelContext()
_current: ContextVar[ModelContext] = ContextVar("opik_eval_models", default=_NOTHING)


_repeat: ContextVar[int] = ContextVar("opik_eval_repeat", default=0)


def current_repeat() -> int:
    """Return which of several equal runs this is; 0 outside of an evaluation with trials."""
    return _repeat.get()


def enter_repeat(repeat: int) -> None:
    """Say, for the rest of this context, which of several equal runs this is.

    It is part of the key of cached replies: each trial of an evaluation samples its model anew, and
    a re-run finds every trial's own replies again.
    """
    _repeat.set(repeat)


def model_context() -> ModelContext:
    """Return what applies here."""
    return _current.get()


@contextmanager
def use_models(
    *,
    budget: Budget | None = None,
    cache: ResponseCache | CacheStore | None = None,
    cache_mode: CacheMode | None = None,
) -> Iterator[None]:
    """Apply a budget and a response cache to every model call made inside the block.

    It reaches tasks and judges that know nothing of it, also in threads that run with the caller's
    context variables. Blocks nest: budgets add up (each of them holds), an inner cache or mode
    replaces the outer one.

    Args:
        budget: Limits for the calls made inside.
        cache: A cache, or the storage to keep replies in.
        cache_mode: ``off``, ``read_write`` or ``replay``; replaces the cache's own mode.

    Example:
        >>> with use_models(budget=Budget(max_requests=100)):
        ...     len(model_context().budgets)
        1
    """
    outer = _current.get()
    if cache is not None and not isinstance(cache, ResponseCache):
        cache = ResponseCache(cache)
    inner = ModelContext(
        budgets=outer.budgets_with(budget),
        cache=cache or outer.cache,
        cache_mode=checked_mode(cache_mode) if cache_mode else outer.cache_mode,
    )
    token = _current.set(inner)
    try:
        yield
    finally:
        _current.reset(token)
