"""Whether the hospital's invariants hold of a policy, for everything that there can be.

What is looked at: every class and level, for every zone, purpose, tenant and destination that the
policy, the invariants or the configuration names, and for *one more* purpose, tenant and
destination that none of them names. That is everything, because of the part of Cedar that
:mod:`security.policy.examine` takes:

- Zones, classes and levels are finite, and all of them are tried.
- A purpose, a tenant or a destination's name is only ever tested for equality with a literal of
  the text. Let s be any string that the text does not name: each such test is false for s, as it
  is false for the word that stands for all others. Conditions are made of these tests, of
  calculations with the level, and of and, or, not, if; they can't tell two values apart on which
  all tests agree. So the policy answers for s what it answers for that word. An invariant, too,
  only asks whether a string is among those that it names.
- Purpose and tenant of one destination may be the same string. No test compares the two with each
  other, so that this makes no difference.

A destination that is configured has the facts that the configuration gives it. One that is only
named, and the one that is not, are tried with all facts.

Cedar is asked once for each combination of words of the *policy*; what only invariants or the
configuration name is alike to it. A gateway's policy takes 15 to 100 combinations, 7 ms each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from gateway.domain.labels import DestinationInfo, Zone
from security.policy import words
from security.policy.compile import (
    Cedar,
    Decision,
    PolicyTable,
    compile_policy,
    first_permitted,
    require_agreement,
    schema,
)
from security.policy.diff import Change, changed
from security.policy.examine import Examined, PolicyError, examine
from security.policy.invariants import Invariant
from security.policy.words import OTHER

ASKED_MAX = 500
"""Combinations that Cedar is asked about: 75,000 requests, 5 s of one core."""
POINTS_MAX = 10_000
"""Kinds of destinations that invariants are held against: 300,000 cells, a second."""


class CounterExample(NamedTuple):
    """One cell that breaks an invariant."""

    destination: DestinationInfo
    decision: Decision


class Result(NamedTuple):
    """What became of one invariant."""

    invariant: Invariant
    cells: int
    """That it selects."""
    broken: int
    example: CounterExample | None
    """The first that breaks it, a configured destination if there is one."""

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        name, said = self.invariant.name, self.invariant.words
        if self.example is None:
            return f"{name}: holds in {self.cells} cells: {said}"
        found = words.short(self.example.decision, self.example.destination)
        return f"{name} is broken in {self.broken} of {self.cells} cells: {said} But: {found}"


class Proof(NamedTuple):
    """What was found of a policy."""

    results: tuple[Result, ...]
    cells: int
    """Destination, class and level: how many were looked at."""
    notes: tuple[str, ...]
    """What is allowed and looks like a mistake."""

    @property
    def holds(self) -> bool:
        """Whether every invariant does."""
        return all(result.example is None for result in self.results)

    def require(self) -> None:
        """Refuse a policy that breaks one.

        Raises:
            PolicyError: with each broken invariant and a counter-example.
        """
        if not self.holds:
            broken = [result.sentence for result in self.results if result.example is not None]
            raise PolicyError("; ".join(broken))


class _Point(NamedTuple):
    """One kind of destination."""

    info: DestinationInfo
    alike: DestinationInfo
    """The one that the policy can't tell from it: what it does not name replaced by OTHER."""


_Decided = Mapping[DestinationInfo, Sequence[Decision]]


def prove(
    text: str,
    invariants: Sequence[Invariant],
    destinations: Sequence[DestinationInfo] | None = None,
) -> Proof:
    """Hold a policy against invariants.

    Args:
        text: the policy.
        invariants: of :func:`security.policy.invariants.read_invariants`.
        destinations: those that are configured; None: a policy may name any, with any facts.

    Raises:
        PolicyError: the policy can't be taken whatever the invariants are, for one of the reasons
            of :mod:`security.policy.compile`, or because a ``forbid`` never applies; or there is
            more to look at than ASKED_MAX and POINTS_MAX.
    """
    schema_text = schema()
    configured = tuple(destinations or ())
    known = None if destinations is None else frozenset(each.name for each in configured)
    examined = examine(text, schema_text, known)
    infos, other = _space([examined], invariants, configured)
    points = [_Point(info, _alike(info, examined, other)) for info in infos]
    decided, matched = _ask(Cedar(text, schema_text, examined), points)
    _require_alive(examined, matched)
    results = tuple(_hold(invariant, points, decided) for invariant in invariants)
    cells = sum(len(decided[point.alike]) for point in points)
    notes = (
        *_useless(examined, matched),
        *_strangers(examined, configured),
        *(f"invariant {each.invariant.name} selects nothing" for each in results if not each.cells),
    )
    return Proof(results, cells, notes)


def verified_policy(
    text: str, destinations: Sequence[DestinationInfo], invariants: Sequence[Invariant]
) -> tuple[PolicyTable, Proof]:
    """The table of a policy that keeps the invariants, and what was found.

    Raises:
        PolicyError: it is refused; nothing of it may be used.
    """
    table = compile_policy(text, destinations)
    proof = prove(text, invariants, destinations)
    proof.require()
    return table, proof


def differences_everywhere(old: str, new: str) -> list[Change]:
    """What two policies treat differently, for every destination that there can be.

    For whoever does not know the destinations of each gateway: where this finds no widening, no
    gateway releases more under the new policy, whatever is configured there. The changes name
    kinds of destinations, in words.

    Raises:
        PolicyError: as :func:`prove`.
    """
    schema_text = schema()
    texts = (old, new)
    both = [examine(text, schema_text, None) for text in texts]
    infos, other = _space(both, (), ())
    before, after = (
        _decisions(Cedar(text, schema_text, examined), infos, examined, other)
        for text, examined in zip(texts, both, strict=True)
    )
    return [
        change
        for info in infos
        for one, two in zip(before[info], after[info], strict=True)
        if (change := changed(words.destination(info), one, two)) is not None
    ]


def _decisions(
    cedar: Cedar, infos: Sequence[DestinationInfo], examined: Examined, other: str
) -> _Decided:
    points = [_Point(info, _alike(info, examined, other)) for info in infos]
    decided, _ = _ask(cedar, points)
    return {point.info: decided[point.alike] for point in points}


def _space(
    texts: Sequence[Examined],
    invariants: Sequence[Invariant],
    configured: Sequence[DestinationInfo],
) -> tuple[list[DestinationInfo], str]:
    """Every kind of destination, and the word that stands for all others."""
    purposes = {word for each in texts for word in each.purposes}
    purposes |= {word for each in invariants for word in each.named("purpose")}
    purposes |= {each.purpose for each in configured}
    tenants = {word for each in texts for word in each.tenants}
    tenants |= {word for each in invariants for word in each.named("tenant")}
    tenants |= {each.tenant for each in configured}
    names = {word for each in texts for word in each.destinations}
    names |= {word for each in invariants for word in each.named("destination")}
    taken = {each.name for each in configured}
    other = _unused(OTHER, purposes | tenants | names | taken)
    axes = [[*sorted(each), other] for each in (names - taken, purposes, tenants)]
    count = len(configured) + len(Zone) * len(axes[0]) * len(axes[1]) * len(axes[2])
    if count > POINTS_MAX:
        raise PolicyError(
            f"policy, invariants and configuration name so many purposes, tenants and destinations"
            f" that {count} kinds of destinations had to be checked; {POINTS_MAX} are the most"
        )
    free = (
        DestinationInfo(name, zone, purpose, tenant)
        for name, zone, purpose, tenant in product(axes[0], Zone, axes[1], axes[2])
    )
    return [*configured, *free], other


def _alike(info: DestinationInfo, examined: Examined, other: str) -> DestinationInfo:
    """The destination that a policy can't tell from ``info``."""
    return DestinationInfo(
        info.name if info.name in examined.destinations else other,
        info.zone,
        info.purpose if info.purpose in examined.purposes else other,
        info.tenant if info.tenant in examined.tenants else other,
    )


def _unused(word: str, used: set[str]) -> str:
    while word in used:
        word += "'"
    return word


def _ask(cedar: Cedar, points: Iterable[_Point]) -> tuple[_Decided, frozenset[str]]:
    """The decisions for every kind of destination, and the rules that decided anything."""
    kinds = dict.fromkeys(point.alike for point in points)
    if len(kinds) > ASKED_MAX:
        raise PolicyError(
            f"the policy names so many purposes, tenants and destinations that it had to be asked"
            f" about {len(kinds)} kinds of destinations; {ASKED_MAX} are the most"
        )
    decided: dict[DestinationInfo, list[Decision]] = {}
    matched: set[str] = set()
    for kind in kinds:
        decisions = decided[kind] = []
        for label, asked in cedar.ask(kind):
            for answer in asked:
                matched.update(answer.policies)
            decision = first_permitted(words.destination(kind), label, asked)
            require_agreement(decision, asked)
            decisions.append(decision)
    return decided, frozenset(matched)


def _hold(invariant: Invariant, points: Iterable[_Point], decided: _Decided) -> Result:
    cells = broken = 0
    example: CounterExample | None = None
    for point in points:
        if not invariant.selects(point.info):
            continue
        for decision in decided[point.alike]:
            if not invariant.selects_data(decision.label):
                continue
            cells += 1
            if not invariant.allows(decision.treatment):
                broken += 1
                example = example or CounterExample(point.info, decision)
    return Result(invariant, cells, broken, example)


def _require_alive(examined: Examined, matched: frozenset[str]) -> None:
    """Refuse a ``forbid`` that protects nobody.

    Cedar names every ``forbid`` that applies, so one that it never named never applies.
    """
    dead = [
        rule.name
        for rule in examined.rules.values()
        if rule.effect == "forbid" and rule.name not in matched
    ]
    if dead:
        raise PolicyError(
            f"{', '.join(dead)}: forbids nothing: its conditions are never true, for any data and"
            " any destination"
        )


def _useless(examined: Examined, matched: frozenset[str]) -> Iterator[str]:
    for rule in examined.rules.values():
        if rule.effect == "permit" and rule.name not in matched:
            yield f"{rule.name} permits nothing that is not forbidden"


def _strangers(examined: Examined, configured: Sequence[DestinationInfo]) -> Iterator[str]:
    """Words of the policy that no configured destination has: maybe misspelt, maybe for later."""
    if not configured:
        return
    for what, named, has in (
        ("purpose", examined.purposes, {each.purpose for each in configured}),
        ("tenant", examined.tenants, {each.tenant for each in configured}),
    ):
        for word in sorted(named - has):
            yield f"the policy names the {what} {word!r}, which no destination has"
