"""Cedar text -> a table of treatments per destination.

Rules:

1. Treatments are Cedar actions. For each (destination, class, level) they are asked in the order
   pass, pseudonymise, generalise, mask, aggregate; the first that is permitted wins. None:
   withhold. So a permit of a more revealing treatment always wins over a stricter one, and a
   ``forbid`` takes treatments away.
2. A policy is taken whole or refused whole: on anything that :mod:`security.policy.examine` does
   not take, on an evaluation error (Cedar skips a ``forbid`` that fails), and where the treatment
   that wins does not compare with another one that is permitted
   (:data:`gateway.domain.labels.AS_STRICT`): then the text does not say which of two it wants.
3. Cedar is asked when the policy loads, never per record. ``version`` names text, schema and
   destinations together: equal versions are equal tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import cedarpy

from gateway.domain.labels import (
    AS_STRICT,
    LEVELS,
    DataClass,
    DestinationInfo,
    Label,
    ReleaseRow,
    Treatment,
)
from security.policy.examine import Examined, PolicyError, Rule, examine

ORDER = (
    Treatment.PASS,
    Treatment.PSEUDONYMISE,
    Treatment.GENERALISE,
    Treatment.MASK,
    Treatment.AGGREGATE,
)
VERSION_CHARS = 16

LABELS = tuple(Label(data_class, level) for data_class in DataClass for level in LEVELS)
"""Every pair that a table has an answer for."""


class Asked(NamedTuple):
    """One treatment that was asked for, and the ids of the policies that decided."""

    treatment: Treatment
    permitted: bool
    policies: tuple[str, ...]
    """The permits if permitted; else the forbids, or nothing: no policy permits it."""


class Decision(NamedTuple):
    """What happens to one kind of data on its way to one destination, and why."""

    destination: str
    label: Label
    treatment: Treatment
    asked: tuple[Asked, ...]
    """In the order in which they were asked; the last one decided, unless it is withheld."""

    @property
    def policies(self) -> tuple[str, ...]:
        """The ids of the policies that decided."""
        if self.treatment is not Treatment.WITHHOLD:
            return self.asked[-1].policies
        return tuple(dict.fromkeys(name for asked in self.asked for name in asked.policies))


class PolicyTable(NamedTuple):
    """A policy that was verified and compiled."""

    version: str
    rows: Mapping[str, ReleaseRow]
    """Destination's name -> the treatment of every label."""
    decisions: Mapping[tuple[str, Label], Decision]
    destinations: Mapping[str, DestinationInfo]
    rules: Mapping[str, Rule]
    """By ``@id``."""


def compile_policy(text: str, destinations: Sequence[DestinationInfo]) -> PolicyTable:
    """Verify a policy and decide for every destination, class and level.

    Raises:
        PolicyError: see rule 2 of the module; nothing of the policy may be used.
    """
    names = [destination.name for destination in destinations]
    if len(set(names)) != len(names):
        raise PolicyError("two destinations have the same name")
    schema_text = schema()
    examined = examine(text, schema_text, frozenset(names))
    cedar = Cedar(text, schema_text, examined)
    decisions = {
        (decision.destination, decision.label): decision
        for destination in destinations
        for decision in cedar.decide(destination)
    }
    rows = {name: {label: decisions[name, label].treatment for label in LABELS} for name in names}
    return PolicyTable(
        _version(text, schema_text, destinations),
        rows,
        decisions,
        {destination.name: destination for destination in destinations},
        examined.rules,
    )


def matrix(table: PolicyTable) -> Iterator[Decision]:
    """Every decision of a table, by destination, class and level."""
    for name in table.rows:
        for label in LABELS:
            yield table.decisions[name, label]


def explain(table: PolicyTable, data_class: DataClass, level: int, destination: str) -> Decision:
    """Why this data goes to this destination as it does.

    Raises:
        PolicyError: the table has no such destination or level.
    """
    decision = table.decisions.get((destination, Label(data_class, level)))
    if decision is None:
        raise PolicyError(f"no destination {destination!r} with level {level}")
    return decision


def schema() -> str:
    """The Cedar schema that policies are written in."""
    return _read("policy.cedarschema")


def default_policy() -> str:
    """An example to begin with."""
    return _read("policies/default.cedar")


def _read(name: str) -> str:
    return (resources.files("security") / name).read_text()


def _version(text: str, schema_text: str, destinations: Sequence[DestinationInfo]) -> str:
    facts = [text, schema_text, sorted(map(list, destinations))]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:VERSION_CHARS]


class Cedar:
    """A policy that was examined, ready to be asked."""

    def __init__(self, text: str, schema_text: str, examined: Examined) -> None:
        """Parse once.

        Raises:
            PolicyError: Cedar does not take it.
        """
        self._ids = examined.ids
        self._rules = examined.rules
        try:
            self._schema = cedarpy.Schema.from_str(schema_text)
            self._policies = cedarpy.PolicySet.from_str(text)
        except ValueError as error:
            raise PolicyError(str(error)) from error

    def ask(self, destination: DestinationInfo) -> list[tuple[Label, tuple[Asked, ...]]]:
        """Every treatment of every label, in the order of ORDER.

        One call into Cedar for one destination: 150 requests, about 7 ms.

        Raises:
            PolicyError: a rule can't be evaluated.
        """
        entities = cedarpy.Entities.from_json_str(json.dumps(_entities(destination)), self._schema)
        requests = [
            _request(destination.name, label, treatment) for label in LABELS for treatment in ORDER
        ]
        results = iter(
            cedarpy.is_authorized_batch(requests, self._policies, entities, self._schema)
        )
        return [
            (label, tuple(self._answer(treatment, next(results)) for treatment in ORDER))
            for label in LABELS
        ]

    def decide(self, destination: DestinationInfo) -> list[Decision]:
        """What happens to every label.

        Raises:
            PolicyError: a rule can't be evaluated, or the text does not say what it wants.
        """
        decisions = []
        for label, asked in self.ask(destination):
            decision = first_permitted(destination.name, label, asked)
            require_agreement(decision, asked)
            decisions.append(decision)
        return decisions

    def _answer(self, treatment: Treatment, result: cedarpy.AuthzResult) -> Asked:
        diagnostics = result.diagnostics
        if diagnostics.errors or result.decision is cedarpy.Decision.NoDecision:
            raise PolicyError(
                "; ".join(self._named(str(error)) for error in diagnostics.errors)
                or "Cedar gave no decision"
            )
        names = tuple(sorted(self._ids[key] for key in diagnostics.reasons))
        return Asked(treatment, result.decision is cedarpy.Decision.Allow, names)

    def _named(self, fault: str) -> str:
        """Cedar's words, with the rule's own name for Cedar's."""
        for key, name in self._ids.items():
            fault = fault.replace(f"`{key}`", name)
        return fault


def first_permitted(name: str, label: Label, asked: Sequence[Asked]) -> Decision:
    """The decision that answers make."""
    for position, answer in enumerate(asked):
        if answer.permitted:
            return Decision(name, label, answer.treatment, tuple(asked[: position + 1]))
    return Decision(name, label, Treatment.WITHHOLD, tuple(asked))


def require_agreement(decision: Decision, asked: Sequence[Asked]) -> None:
    """Refuse two treatments of which neither is the stricter.

    Args:
        decision: what wins.
        asked: every treatment.

    Raises:
        PolicyError: naming the rules that permit them.
    """
    wins = decision.treatment
    for other in asked:
        if other.permitted and other.treatment not in AS_STRICT[wins]:
            one, two = wins.name.lower(), other.treatment.name.lower()
            raise PolicyError(
                f"{', '.join(decision.policies)} permits to {one}, and"
                f" {', '.join(other.policies)} to {two}, class"
                f" {decision.label.data_class.name.lower()} level {decision.label.level} for"
                f" {decision.destination}: neither is the stricter, so say which, with a forbid"
            )


def _request(destination: str, label: Label, treatment: Treatment) -> dict[str, Any]:
    return {
        "principal": {"type": "Destination", "id": destination},
        "action": {"type": "Action", "id": treatment.name.lower()},
        "resource": {"type": "Data", "id": _data_id(label)},
        "context": {},
    }


def _entities(destination: DestinationInfo) -> list[dict[str, Any]]:
    def enum(kind: str, value: str) -> dict[str, Any]:
        return {"__entity": {"type": kind, "id": value}}

    found: list[dict[str, Any]] = [
        {
            "uid": {"type": "Destination", "id": destination.name},
            "attrs": {
                "zone": enum("Zone", str(destination.zone)),
                "purpose": destination.purpose,
                "tenant": destination.tenant,
            },
            "parents": [],
        }
    ]
    found += [
        {
            "uid": {"type": "Data", "id": _data_id(label)},
            "attrs": {
                "class": enum("DataClass", label.data_class.name.lower()),
                "level": label.level,
            },
            "parents": [],
        }
        for label in LABELS
    ]
    return found


def _data_id(label: Label) -> str:
    return f"{label.data_class.name.lower()}/{label.level}"
