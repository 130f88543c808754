"""The release policy: Cedar text -> a table of treatments per destination.

Rules:

1. Treatments are Cedar actions. For each (destination, class, level) they are asked in the order
   pass, pseudonymise, generalise, mask, aggregate; the first that is permitted wins. None:
   withhold. So a permit of a more revealing treatment always wins over a stricter one, and a
   ``forbid`` takes treatments away.
2. A policy is taken whole or refused whole. It is refused on anything that Cedar would pass over
   in silence: a validation error, an evaluation error (Cedar skips a ``forbid`` that fails), a
   comparison with an entity of another type (always false), a destination that nobody
   configured (a misspelt ``forbid``), a policy without an ``@id`` of its own.
3. ``aggregate`` and ``generalise`` are words of the schema and refused until records can be
   treated so.
4. Cedar is asked when the policy loads, never per record. ``version`` names text, schema and
   destinations together: equal versions are equal tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import cedarpy

from gateway.domain.errors import WardgateError
from gateway.domain.labels import (
    LEVELS,
    DataClass,
    DestinationInfo,
    Label,
    ReleaseRow,
    Treatment,
)

ORDER = (
    Treatment.PASS,
    Treatment.PSEUDONYMISE,
    Treatment.GENERALISE,
    Treatment.MASK,
    Treatment.AGGREGATE,
)
NOT_YET = frozenset((Treatment.AGGREGATE, Treatment.GENERALISE))
_NOT_YET_WORDS = frozenset(treatment.name.lower() for treatment in NOT_YET)
POLICY_BYTES_MAX = 256 * 1024
VERSION_CHARS = 16

LABELS = tuple(Label(data_class, level) for data_class in DataClass for level in LEVELS)
"""Every pair that a table has an answer for."""

_ATTRIBUTE_TYPES = {"zone": "Zone", "class": "DataClass"}


class PolicyError(WardgateError):
    """A policy that is refused; the message says where and why."""

    reason = "policy"


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


def compile_policy(text: str, destinations: Sequence[DestinationInfo]) -> PolicyTable:
    """Verify a policy and decide for every destination, class and level.

    Raises:
        PolicyError: see rule 2 of the module; nothing of the policy may be used.
    """
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise PolicyError(f"the policy is longer than {POLICY_BYTES_MAX} bytes")
    names = [destination.name for destination in destinations]
    if len(set(names)) != len(names):
        raise PolicyError("two destinations have the same name")
    schema_text = schema()
    _validate(text, schema_text)
    ids = _examine(text, frozenset(names))
    decisions = {
        (decision.destination, decision.label): decision
        for decision in _decide(text, schema_text, destinations, ids)
    }
    rows = {name: {label: decisions[name, label].treatment for label in LABELS} for name in names}
    return PolicyTable(_version(text, schema_text, destinations), rows, decisions)


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


def _validate(text: str, schema_text: str) -> None:
    result = cedarpy.validate_policies(text, schema_text)
    if not result.validation_passed or result.errors:
        names = result.id_annotations_by_policy_id
        faults = [f"{names.get(e.policy_id, e.policy_id)}: {e.error}" for e in result.errors]
        raise PolicyError("; ".join(fault.removeprefix(": ") for fault in faults) or "not valid")


def _examine(text: str, destinations: frozenset[str]) -> dict[str, str]:
    """Refuse what validation lets through; Cedar's policy id -> our ``@id``."""
    parsed = json.loads(cedarpy.policies_to_json_str(text))
    if parsed["templates"] or parsed["templateLinks"]:
        raise PolicyError("templates are not supported")
    ids: dict[str, str] = {}
    for key, policy in parsed["staticPolicies"].items():
        name = policy.get("annotations", {}).get("id") or ""
        if not name:
            raise PolicyError(f"{key}: every policy needs an @id of its own")
        if name in ids.values():
            raise PolicyError(f"{name}: two policies have this @id")
        ids[key] = name
        _examine_node(policy, name, destinations)
    return ids


def _examine_node(node: Any, name: str, destinations: frozenset[str]) -> None:
    if isinstance(node, list):
        for each in node:
            _examine_node(each, name, destinations)
    if not isinstance(node, dict):
        return
    if node.get("type") == "Destination" and node.get("id") not in destinations:
        raise PolicyError(f"{name}: no destination is named {node.get('id')!r}")
    if node.get("type") == "Action" and node.get("id") in _NOT_YET_WORDS:
        raise PolicyError(f"{name}: records can't be treated so yet: {node['id']}")
    for operator in ("==", "!=", "in"):
        if operator in node and isinstance(node[operator], dict):
            _examine_comparison(node[operator], name)
    for each in node.values():
        _examine_node(each, name, destinations)


def _examine_comparison(operands: Mapping[str, Any], name: str) -> None:
    sides = (operands.get("left", {}), operands.get("right", {}))
    for this, that in (sides, sides[::-1]):
        attribute = this.get(".", {}).get("attr", "")
        expected = _ATTRIBUTE_TYPES.get(attribute)
        entity = that.get("Value", {})
        found = entity.get("__entity", {}).get("type") if isinstance(entity, dict) else None
        if expected and found and found != expected:
            raise PolicyError(f"{name}: {attribute} is a {expected}, compared with a {found}")


def _decide(
    text: str, schema_text: str, destinations: Sequence[DestinationInfo], ids: Mapping[str, str]
) -> Iterator[Decision]:
    try:
        parsed = cedarpy.Schema.from_str(schema_text)
        policies = cedarpy.PolicySet.from_str(text)
        entities = cedarpy.Entities.from_json_str(json.dumps(_entities(destinations)), parsed)
    except ValueError as error:
        raise PolicyError(str(error)) from error
    cells = [(destination.name, label) for destination in destinations for label in LABELS]
    requests = [_request(name, label, treatment) for name, label in cells for treatment in ORDER]
    results = iter(cedarpy.is_authorized_batch(requests, policies, entities, parsed))
    for name, label in cells:
        answers = [_answer(treatment, next(results), ids) for treatment in ORDER]
        yield _first_permitted(name, label, answers)


def _first_permitted(name: str, label: Label, answers: Sequence[Asked]) -> Decision:
    for position, answer in enumerate(answers):
        if answer.permitted:
            if answer.treatment in NOT_YET:
                raise PolicyError(
                    f"{', '.join(answer.policies)}: would {answer.treatment.name.lower()} class"
                    f" {label.data_class.name.lower()} level {label.level} for {name}, and records"
                    " can't be treated so yet"
                )
            return Decision(name, label, answer.treatment, tuple(answers[: position + 1]))
    return Decision(name, label, Treatment.WITHHOLD, tuple(answers))


def _answer(treatment: Treatment, result: cedarpy.AuthzResult, ids: Mapping[str, str]) -> Asked:
    diagnostics = result.diagnostics
    if diagnostics.errors or result.decision is cedarpy.Decision.NoDecision:
        raise PolicyError("; ".join(map(str, diagnostics.errors)) or "Cedar gave no decision")
    names = tuple(sorted(ids[key] for key in diagnostics.reasons))
    return Asked(treatment, result.decision is cedarpy.Decision.Allow, names)


def _request(destination: str, label: Label, treatment: Treatment) -> dict[str, Any]:
    return {
        "principal": {"type": "Destination", "id": destination},
        "action": {"type": "Action", "id": treatment.name.lower()},
        "resource": {"type": "Data", "id": _data_id(label)},
        "context": {},
    }


def _entities(destinations: Sequence[DestinationInfo]) -> list[dict[str, Any]]:
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
        for destination in destinations
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
