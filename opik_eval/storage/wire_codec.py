"""The machinery of the wire format: a table of names for each record, and how values change.

Three things make a payload differ from its record: fields have Opik's names, durations are in
milliseconds, and what Opik's payloads have no place for goes into the object ``_opik_eval``, which
other servers and clients ignore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Generic, TypeVar, cast, get_args

from pydantic import ValidationError

from opik_eval.errors import PayloadError
from opik_eval.records import Record
from opik_eval.serialization import to_jsonable

R = TypeVar("R", bound=Record)
Payload = Mapping[str, object]
Convert = Callable[[object], object]
Problems = Iterator[tuple[str, str]]

EXTRAS = "_opik_eval"
"""The key under which payloads carry what Opik's lack."""

FILLED = "filled"
"""Inside ``EXTRAS``: names of fields that a server made up because Opik's clients demand them."""


@dataclass(frozen=True)
class Codec(Generic[R]):
    """How one type of record looks on the wire.

    Attributes:
        kind: Name of the type in payloads that do not say it otherwise.
        record: The type.
        renamed: Names on the wire of the fields that have another one there.
        milliseconds: Fields that are seconds in the record and milliseconds on the wire.
        extra: Fields that travel inside ``EXTRAS``.
        encode: Conversions from the record to the wire by field, for values that are not plain.
        decode: Conversions back. They leave alone what they do not know; the record refuses it.
        pack: Last step towards the wire.
        unpack: First step from the wire.
        check: Tells what is wrong with the values of a record beyond their types.
        nullable: Fields without a default that may be ``None`` and are absent then.
    """

    kind: str
    record: type[R]
    renamed: Mapping[str, str] = field(default_factory=dict)
    milliseconds: frozenset[str] = frozenset()
    extra: frozenset[str] = frozenset()
    encode: Mapping[str, Convert] = field(default_factory=dict)
    decode: Mapping[str, Convert] = field(default_factory=dict)
    pack: Callable[[dict[str, object]], None] | None = None
    unpack: Callable[[Payload], Payload] | None = None
    check: Callable[[Payload], Problems] | None = None
    nullable: frozenset[str] = frozenset()

    @cached_property
    def incoming(self) -> Mapping[str, tuple[str, Convert | None]]:
        """Field of the record and conversion, by name on the wire."""
        return {
            self.renamed.get(name, name): (
                name,
                _seconds if name in self.milliseconds else self.decode.get(name),
            )
            for name in self.record.model_fields
            if name not in self.extra
        }

    def to_wire(self, record: R) -> dict[str, object]:
        """Return the payload of a record: the fields that it names, with plain values."""
        values, names = record.__dict__, self._names
        if self._has_defaults:
            named = record.model_fields_set
            values = {name: value for name, value in values.items() if name in named}
        wire = {names[name]: value for name, value in values.items() if value is not None}
        for name, convert in self._conversions:
            if name in wire:
                wire[name] = convert(wire[name])
        extras = {name: wire.pop(name) for name in self.extra if name in wire}
        for name in self.milliseconds:
            if (wire_name := names[name]) in wire:
                wire[wire_name] = _milliseconds(wire[wire_name], name, extras)
        if extras:
            wire[EXTRAS] = extras
        if self.pack is not None:
            self.pack(wire)
        return wire

    def from_wire(self, payload: Payload, given: Payload | None = None) -> R:
        """Return the record of a payload.

        Args:
            payload: Parsed JSON; ``null`` counts as absent, unknown fields are ignored.
            given: Fields of the record that something else than the payload says; they win.

        Raises:
            PayloadError: A field is missing or wrong.
        """
        if not isinstance(payload, Mapping):
            raise PayloadError(self.kind, [("", f"{_shown(payload)} is not an object")])
        values = self._values(payload if self.unpack is None else self.unpack(payload))
        if given:
            values.update(given)
        try:
            record = self.record.model_validate(values)
        except ValidationError as error:
            raise PayloadError(self.kind, [*self.problems(error)]) from error
        if self.check is not None and (problems := [*self.check(values)]):
            raise PayloadError(self.kind, problems)
        return record

    def problems(self, error: ValidationError) -> Problems:
        """Yield field and reason of all that a record refuses."""
        for problem in error.errors(include_url=False, include_context=False):
            name, *path = problem["loc"] or ("",)
            shown = ".".join(map(str, (self.renamed.get(str(name), name), *path)))
            missing = problem["type"] == "missing"
            yield (
                shown,
                "is missing" if missing else f"{problem['msg']}: {_shown(problem['input'])}",
            )

    @cached_property
    def _names(self) -> Mapping[str, str]:
        """Names on the wire by field."""
        return {name: self.renamed.get(name, name) for name in self.record.model_fields}

    @cached_property
    def _has_defaults(self) -> bool:
        """Whether a field that the record does not name may hold anything but ``None``."""
        fields = self.record.model_fields.values()
        return any(not field.is_required() and field.default is not None for field in fields)

    @cached_property
    def _conversions(self) -> Sequence[tuple[str, Convert]]:
        """Conversions by name on the wire."""
        names = self._names
        times = {
            names[name]: _time
            for name, field in self.record.model_fields.items()
            if datetime in _types_of(field.annotation)
        }
        return [*times.items(), *((names[name], encode) for name, encode in self.encode.items())]

    def _values(self, payload: Payload) -> dict[str, object]:
        incoming, values = self.incoming, dict[str, object].fromkeys(self.nullable)
        for wire_name, value in payload.items():
            if value is not None and wire_name in incoming:
                name, decode = incoming[wire_name]
                values[name] = value if decode is None else decode(value)
        extras = payload.get(EXTRAS)
        if isinstance(extras, Mapping):
            self._add_extras(values, extras)
        return values

    def _add_extras(self, values: dict[str, object], extras: Payload) -> None:
        for name in self.extra | self.milliseconds:
            value = extras.get(name)
            if value is not None:
                values[name] = self.decode[name](value) if name in self.decode else value
        made_up = extras.get(FILLED)
        for name in made_up if isinstance(made_up, list) else ():
            if isinstance(name, str) and name in self.incoming:
                values.pop(self.incoming[name][0], None)


def wire_time(moment: datetime) -> str:
    """Return a time as it goes on the wire: UTC, microseconds, Z.

    Example:
        >>> wire_time(datetime(2026, 1, 31, tzinfo=UTC))
        '2026-01-31T00:00:00.000000Z'
    """
    if moment.tzinfo is not UTC and moment.utcoffset():
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"


def _milliseconds(seconds: object, name: str, extras: dict[str, object]) -> object:
    """Return milliseconds; where they do not give the seconds back, keep those in the extras."""
    milliseconds = cast("float", seconds) * 1000
    if milliseconds / 1000 != seconds:
        extras[name] = seconds
    return milliseconds


def _time(value: object) -> object:
    return wire_time(cast("datetime", value))


def _types_of(annotation: object) -> Iterator[object]:
    """Yield what an annotation is made of."""
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for part in inner:
        yield from _types_of(part)


def _seconds(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return cast("float", value) / 1000 if is_number else value


def _shown(value: object) -> str:
    text = repr(to_jsonable(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
