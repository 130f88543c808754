"""What the hospital holds true of every policy: a small TOML file, and its meaning.

Each ``[[invariant]]`` selects cells (kinds of data on their way to kinds of destinations) and says
what may leave of them at most. Rules:

1. A selector that is left out selects everything; ``zone``, ``purpose``, ``tenant``,
   ``destination`` and ``class`` take a word or a list of words, and each with ``_not`` all others.
   Both of one word at once are refused. ``level`` is one level, ``level_min`` and ``level_max`` a
   range, ends included.
2. ``at_most`` names treatments. A cell holds it if its treatment is as strict as one of them
   (:data:`gateway.domain.labels.AS_STRICT`).
3. Unknown keys, classes, zones, levels and treatments are refused: an invariant that selects
   nothing would protect nobody. Purposes, tenants and destinations are the hospital's own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.labels import (
    AS_STRICT,
    LEVELS,
    DataClass,
    DestinationInfo,
    Label,
    Treatment,
    Zone,
)
from security.policy.examine import PolicyError

INVARIANTS_BYTES_MAX = 64 * 1024
INVARIANTS_MAX = 64
WORDS_CHARS_MAX = 500
_ID = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,79}\Z")
_CHOICES = ("class", "zone", "purpose", "tenant", "destination")
_CLASSES = {each.name.lower(): each for each in DataClass}
_TREATMENTS = {each.name.lower(): each for each in Treatment}


class Choice(NamedTuple):
    """Some values of one word, or all others."""

    values: frozenset[str]
    negated: bool

    def has(self, value: str) -> bool:
        """Whether a value is selected."""
        return (value in self.values) is not self.negated


class Invariant(NamedTuple):
    """One sentence that holds of every policy."""

    name: str
    words: str
    levels: frozenset[int]
    choices: Mapping[str, Choice]
    """By selector."""
    at_most: tuple[Treatment, ...]

    def selects(self, destination: DestinationInfo) -> bool:
        """Whether it is about a destination."""
        zone, purpose, tenant = destination.zone, destination.purpose, destination.tenant
        facts = {
            "zone": zone,
            "purpose": purpose,
            "tenant": tenant,
            "destination": destination.name,
        }
        return all(
            self.choices[selector].has(fact)
            for selector, fact in facts.items()
            if selector in self.choices
        )

    def selects_data(self, label: Label) -> bool:
        """Whether it is about a kind of data."""
        of_class = self.choices.get("class")
        return label.level in self.levels and (
            of_class is None or of_class.has(label.data_class.name.lower())
        )

    def allows(self, treatment: Treatment) -> bool:
        """Whether what it selects may be treated so."""
        return any(treatment in AS_STRICT[most] for most in self.at_most)

    def named(self, selector: str) -> frozenset[str]:
        """The words that it uses of a selector."""
        choice = self.choices.get(selector)
        return frozenset() if choice is None else choice.values


_Words = str | list[str]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As a hospital writes it."""

    id: str
    words: str
    at_most: _Words
    level: int | None = None
    level_min: int | None = None
    level_max: int | None = None
    class_: _Words | None = msgspec.field(default=None, name="class")
    class_not: _Words | None = None
    zone: _Words | None = None
    zone_not: _Words | None = None
    purpose: _Words | None = None
    purpose_not: _Words | None = None
    tenant: _Words | None = None
    tenant_not: _Words | None = None
    destination: _Words | None = None
    destination_not: _Words | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    invariant: list[_Table]


def read_invariants(document: bytes) -> tuple[Invariant, ...]:
    """Read a file of invariants.

    Raises:
        PolicyError: it is none; the message names the invariant and the key.
    """
    if len(document) > INVARIANTS_BYTES_MAX:
        raise PolicyError(f"the invariants are longer than {INVARIANTS_BYTES_MAX} bytes")
    try:
        raw: Any = msgspec.toml.decode(document)
        file = msgspec.convert(raw, _File, strict=True)
    except UNDECODABLE as error:
        raise PolicyError(str(error)) from error
    if not 0 < len(file.invariant) <= INVARIANTS_MAX:
        raise PolicyError(f"there must be 1 to {INVARIANTS_MAX} invariants")
    found: dict[str, Invariant] = {}
    for table in file.invariant:
        if not _ID.match(table.id):
            raise PolicyError(f"id {table.id!r}: letters, digits, '.', '_' and '-' only")
        if table.id in found:
            raise PolicyError(f"{table.id}: two invariants have this id")
        try:
            found[table.id] = _invariant(table)
        except ValueError as error:
            raise PolicyError(f"{table.id}: {error}") from error
    return tuple(found.values())


def default_invariants() -> bytes:
    """Those that hold where a hospital has written none."""
    return (resources.files("security") / "policies/default.invariants.toml").read_bytes()


def _invariant(table: _Table) -> Invariant:
    if not table.words or not table.words.isprintable() or len(table.words) > WORDS_CHARS_MAX:
        raise ValueError(f"words: one printable line of at most {WORDS_CHARS_MAX} characters")
    choices = {}
    for selector in _CHOICES:
        choice = _choice(table, selector)
        if choice is not None:
            choices[selector] = choice
    _require_known("class", choices, frozenset(_CLASSES))
    _require_known("zone", choices, frozenset(map(str, Zone)))
    most = _words(table.at_most, "at_most")
    unknown = sorted(most - set(_TREATMENTS))
    if unknown:
        raise ValueError(f"at_most: no treatment {unknown[0]!r}: {', '.join(_TREATMENTS)}")
    return Invariant(
        table.id,
        table.words,
        _levels(table),
        choices,
        tuple(treatment for word, treatment in _TREATMENTS.items() if word in most),
    )


def _choice(table: _Table, selector: str) -> Choice | None:
    positive = getattr(table, "class_" if selector == "class" else selector)
    negative = getattr(table, f"{selector}_not")
    if positive is not None and negative is not None:
        raise ValueError(f"{selector} and {selector}_not: give one of them")
    if positive is not None:
        return Choice(_words(positive, selector), negated=False)
    if negative is not None:
        return Choice(_words(negative, f"{selector}_not"), negated=True)
    return None


def _words(value: _Words, key: str) -> frozenset[str]:
    words = frozenset([value] if isinstance(value, str) else value)
    if not words:
        raise ValueError(f"{key}: an empty list")
    return words


def _require_known(selector: str, choices: Mapping[str, Choice], known: frozenset[str]) -> None:
    choice = choices.get(selector)
    unknown = sorted(choice.values - known) if choice is not None else []
    if unknown:
        raise ValueError(f"{selector}: no {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    if choice is not None and choice.negated and choice.values == known:
        raise ValueError(f"{selector}_not: nothing is left")


def _levels(table: _Table) -> frozenset[int]:
    if table.level is not None and (table.level_min, table.level_max) != (None, None):
        raise ValueError("level: not together with level_min or level_max")
    for key in ("level", "level_min", "level_max"):
        value = getattr(table, key)
        if value is not None and value not in LEVELS:
            raise ValueError(f"{key}: {value} is none of the levels 1 to 5")
    if table.level is not None:
        return frozenset((table.level,))
    low = table.level_min or min(LEVELS)
    high = table.level_max or max(LEVELS)
    if low > high:
        raise ValueError("level_min: above level_max")
    return frozenset(range(low, high + 1))
