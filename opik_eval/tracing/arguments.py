"""Which arguments of a call are recorded, and as what."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature

from opik_eval.tracing.capture import REDACTED, looks_secret, snapshot

_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD, Parameter.POSITIONAL_ONLY)


@dataclass(frozen=True)
class Arguments:
    """Records the arguments of one function's calls under their names.

    ``self`` and ``cls`` are left out, defaults are filled in, secrets are redacted.

    Attributes:
        names: All parameters.
        signature: How calls are bound; ``None`` for a function that does not tell.
        positional: Parameters that take positions, if no parameter is variadic or positional only:
            then binding is a ``zip``.
        defaults: Values of parameters that have one.
        hidden: Parameters that are not recorded.
        secret: Parameters whose value is redacted.
    """

    names: tuple[str, ...]
    signature: Signature | None
    positional: tuple[str, ...] | None
    defaults: Mapping[str, object]
    hidden: frozenset[str]
    secret: frozenset[str]

    @classmethod
    def of(cls, function: Callable[..., object], ignored: Sequence[str] = ()) -> Arguments:
        """Read the signature of a function.

        Args:
            function: The function that is called.
            ignored: Names of arguments to leave out.
        """
        try:
            signature = _without_annotations(inspect.signature(function))
        except (TypeError, ValueError):  # builtins without a signature
            return cls((), None, None, {}, frozenset(ignored), frozenset())
        parameters = signature.parameters.values()
        names = tuple(signature.parameters)
        implicit = names[:1] if names[:1] in (("self",), ("cls",)) else ()
        is_simple = not any(parameter.kind in _VARIADIC for parameter in parameters)
        positional = [each.name for each in parameters if each.kind is not Parameter.KEYWORD_ONLY]
        return cls(
            names,
            signature,
            tuple(positional) if is_simple else None,
            {each.name: each.default for each in parameters if each.default is not Parameter.empty},
            frozenset((*ignored, *implicit)),
            frozenset(name for name in names if looks_secret(name)),
        )

    def capture(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Return a snapshot of the arguments of one call."""
        return {
            name: snapshot(value) if name not in self.secret or value is None else REDACTED
            for name, value in self._bound(args, kwargs).items()
            if name not in self.hidden
        }

    def _bound(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Mapping[str, object]:
        if self.positional is not None and len(args) <= len(self.positional):
            given = {**self.defaults, **dict(zip(self.positional, args, strict=False)), **kwargs}
            if len(given) == len(self.names):  # else the call itself is about to fail
                return {name: given.get(name) for name in self.names}
        if self.signature is not None:
            try:
                bound = self.signature.bind(*args, **kwargs)
            except TypeError:
                pass  # the call itself is about to raise the same error
            else:
                bound.apply_defaults()
                return bound.arguments
        return {"args": args, "kwargs": kwargs} if args else kwargs


def _without_annotations(signature: Signature) -> Signature:
    """Return a signature that can be pickled with the function it belongs to."""
    return Signature(
        [each.replace(annotation=Parameter.empty) for each in signature.parameters.values()]
    )
