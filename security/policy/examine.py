"""What a policy's text may say: a part of Cedar in which a finite check covers everything.

Rules:

1. A policy is refused on what Cedar would pass over in silence: a validation error, a destination
   that nobody configured, a comparison with an entity of another type (always false), ``has`` with
   a misspelt attribute (always false), a single kind of data named by Cedar's internal id.
2. Strings (purpose, tenant) and names of destinations are only ever compared with literals, for
   equality. A condition can then tell apart the literals that the text names, and nothing else:
   all other strings are alike to it. :mod:`security.policy.prove` rests on this. So ``like``,
   comparisons of one attribute with another, and every expression that could hide one (records,
   sets of attributes, ``if`` that yields a value) are refused; numbers may be calculated with,
   since there are five levels.
3. Every rule has an ``@id`` of its own, which explanations name; ``@doc`` says in words what it is
   for. Both are one printable line.
4. ``unless`` is the negation of ``when`` and needs no rule of its own: what it leaves open is open
   to *all other* strings, too, and the proof looks at these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import cedarpy

from gateway.domain.errors import WardgateError
from security.policy.faults import in_words

POLICY_BYTES_MAX = 256 * 1024
BRACKETS_MAX = 64
"""Open at once. Cedar's parser is recursive: some hundreds exhaust its stack, which ends the
process."""
IFS_MAX = 64
"""In one rule, for the same reason."""
DOC_CHARS_MAX = 500
ID_CHARS_MAX = 80

_STRINGS = frozenset(("purpose", "tenant"))
_ENTITY_OF = {"zone": "Zone", "class": "DataClass"}
_VARIABLES = {"principal": "Destination", "resource": "Data", "action": "Action"}
_COMPARE = ("==", "!=")
_ORDER = ("<", "<=", ">", ">=")
_CALCULATE = ("+", "-", "*")
_WHY = {
    "like": "it matches parts of strings, so that no finite check covers every purpose and tenant;"
    " compare with == instead",
    "has": "every attribute is always there, and a misspelt one would silently never be; leave it"
    " out",
    "is": "there is one kind of principal and one of resource; leave it out",
    "containsAll": "write a comparison for each",
    "containsAny": "write a comparison for each",
    "Record": "compare the attributes themselves",
}
_TOKENS = re.compile(r'//[^\n\r]*|"(?:\\.|[^"\\])*"|\bif\b|[()\[\]{};]', re.DOTALL)
"""Comments and strings, which may hold anything, and what nests."""
_FINITE = "only comparisons with literals can be checked for every purpose and tenant"


class PolicyError(WardgateError):
    """A policy that is refused; the message says where and why."""

    reason = "policy"


class Rule(NamedTuple):
    """One rule of a policy, for people."""

    name: str
    """Its ``@id``."""
    effect: str
    """``permit`` or ``forbid``."""
    doc: str
    """Its ``@doc``, or nothing."""


class Examined(NamedTuple):
    """What a text names."""

    ids: Mapping[str, str]
    """Cedar's policy id -> our ``@id``."""
    rules: Mapping[str, Rule]
    """By ``@id``."""
    purposes: frozenset[str]
    tenants: frozenset[str]
    destinations: frozenset[str]


def examine(text: str, schema_text: str, destinations: frozenset[str] | None) -> Examined:
    """Read a policy.

    Args:
        text: the policy.
        schema_text: the Cedar schema.
        destinations: those that it may name; None: any.

    Raises:
        PolicyError: it says what it may not; see the module's rules.
    """
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise PolicyError(f"the policy is longer than {POLICY_BYTES_MAX} bytes")
    _require_shallow(text)
    _validate(text, schema_text)
    try:
        return _examine(text, destinations)
    except RecursionError:
        raise PolicyError("a rule's conditions are nested too deeply") from None


def _require_shallow(text: str) -> None:
    """Before Cedar sees it."""
    depth = ifs = 0
    for piece in _TOKENS.findall(text):
        if piece in {"(", "[", "{"}:
            depth += 1
        elif piece in {")", "]", "}"}:
            depth = max(depth - 1, 0)
        elif piece == ";":
            ifs = 0
        elif piece == "if":
            ifs += 1
        if depth > BRACKETS_MAX or ifs > IFS_MAX:
            raise PolicyError("a rule's conditions are nested too deeply")


def _validate(text: str, schema_text: str) -> None:
    result = cedarpy.validate_policies(text, schema_text)
    if not result.validation_passed or result.errors:
        names = result.id_annotations_by_policy_id
        faults = ((names.get(e.policy_id, e.policy_id), str(e.error)) for e in result.errors)
        raise PolicyError(in_words(text, faults))


def _examine(text: str, destinations: frozenset[str] | None) -> Examined:
    parsed = json.loads(cedarpy.policies_to_json_str(text))
    if parsed["templates"] or parsed["templateLinks"]:
        raise PolicyError("templates are not supported")
    ids: dict[str, str] = {}
    rules: dict[str, Rule] = {}
    named: dict[str, set[str]] = {"purpose": set(), "tenant": set(), "Destination": set()}
    for key, policy in parsed["staticPolicies"].items():
        annotations = policy.get("annotations", {})
        name = _line(annotations.get("id") or "", ID_CHARS_MAX, f"{key}: @id")
        if not name:
            raise PolicyError(f"{key}: every policy needs an @id of its own")
        if name in rules:
            raise PolicyError(f"{name}: two policies have this @id")
        doc = _line(annotations.get("doc") or "", DOC_CHARS_MAX, f"{name}: @doc")
        ids[key] = name
        rules[name] = Rule(name, policy["effect"], doc)
        _Conditions(name, destinations, named).read(policy)
    return Examined(
        ids,
        rules,
        frozenset(named["purpose"]),
        frozenset(named["tenant"]),
        frozenset(named["Destination"]),
    )


def _line(text: str, chars_max: int, what: str) -> str:
    if len(text) > chars_max or not text.isprintable():
        raise PolicyError(f"{what} must be one printable line of at most {chars_max} characters")
    return text


class _Conditions:
    """Reads one rule of Cedar's JSON form, and collects what it names."""

    def __init__(
        self,
        name: str,
        destinations: frozenset[str] | None,
        named: dict[str, set[str]],
    ) -> None:
        self._name = name
        self._destinations = destinations
        self._named = named

    def read(self, policy: Mapping[str, Any]) -> None:
        for variable, expected in _VARIABLES.items():
            self._scope(policy[variable], variable, expected)
        for condition in policy["conditions"]:
            self._truth(condition["body"])

    def _scope(self, scope: Mapping[str, Any], variable: str, expected: str) -> None:
        kind = scope.get("entity_type", expected)
        if kind != expected:
            raise self._refusal(f"the {variable} is a {expected}, never a {kind}")
        inner = scope.get("in") or {}
        for entity in (scope.get("entity"), inner.get("entity"), *scope.get("entities", ())):
            if entity is not None:
                self._entity(entity, variable, expected)

    def _truth(self, node: Mapping[str, Any]) -> None:
        """A condition."""
        ((operator, operands),) = node.items()
        if operator in {"&&", "||"}:
            self._truth(operands["left"])
            self._truth(operands["right"])
        elif operator == "!":
            self._truth(operands["arg"])
        elif operator == "if-then-else":
            for part in ("if", "then", "else"):
                self._truth(operands[part])
        elif operator in _COMPARE:
            self._comparison(operator, operands["left"], operands["right"])
        elif operator in _ORDER:
            self._number(operands["left"])
            self._number(operands["right"])
        elif operator == "in":
            self._membership(operator, operands["left"], operands["right"])
        elif operator == "contains":
            self._membership(operator, operands["right"], operands["left"])
        elif not (operator == "Value" and isinstance(operands, bool)):
            raise self._refusal(f"{operator} can't be used: {_WHY.get(operator, _FINITE)}")

    def _membership(
        self, operator: str, one: Mapping[str, Any], several: Mapping[str, Any]
    ) -> None:
        for literal in several.get("Set", [several]):
            if "Value" not in literal:
                raise self._refusal(f"{operator}: {_FINITE}")
            self._comparison(operator, one, literal)

    def _comparison(self, operator: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
        for this, that in ((left, right), (right, left)):
            what = this.get("Var") or this.get(".", {}).get("attr")
            if what is None or what == "level":
                continue
            if "Value" not in that:
                raise self._refusal(f"{what} {operator} …: {_FINITE}")
            self._literal(this, what, that["Value"])
            return
        self._number(left)
        self._number(right)

    def _literal(self, this: Mapping[str, Any], what: str, value: Any) -> None:
        """``what`` is compared with ``value``."""
        base = this.get(".", {}).get("left", {"Var": what})
        if base not in ({"Var": "principal"}, {"Var": "resource"}, {"Var": "action"}):
            raise self._refusal(f"{what}: {_FINITE}")
        if what in _STRINGS:
            if not isinstance(value, str):
                raise self._refusal(f"{what} is a string")
            self._named[what].add(value)
            return
        expected = _VARIABLES.get(what) if "Var" in this else _ENTITY_OF.get(what)
        if expected is None:
            raise self._refusal(f"{what} can't be compared")
        entity = value.get("__entity") if isinstance(value, dict) else None
        if entity is None:
            raise self._refusal(f"{what} is a {expected}, compared with {value!r}")
        self._entity(entity, what, expected)

    def _entity(self, entity: Mapping[str, str], what: str, expected: str) -> None:
        kind, name = entity["type"], entity["id"]
        if kind != expected:
            raise self._refusal(f"{what} is a {expected}, compared with a {kind}")
        if kind == "Data":
            raise self._refusal("kinds of data have no names: say resource.class, resource.level")
        if kind == "Destination":
            if self._destinations is not None and name not in self._destinations:
                raise self._refusal(f"no destination is named {name!r}")
            self._named[kind].add(name)

    def _number(self, node: Mapping[str, Any]) -> None:
        ((operator, operands),) = node.items()
        if operator in _CALCULATE:
            self._number(operands["left"])
            self._number(operands["right"])
        elif operator == "neg":
            self._number(operands["arg"])
        elif operator == ".":
            if operands != {"left": {"Var": "resource"}, "attr": "level"}:
                raise self._refusal(f"{operands.get('attr')}: {_FINITE}")
        elif not (operator == "Value" and type(operands) is int):
            raise self._refusal(f"{operator} can't be used here: {_WHY.get(operator, _FINITE)}")

    def _refusal(self, why: str) -> PolicyError:
        return PolicyError(f"{self._name}: {why}")
