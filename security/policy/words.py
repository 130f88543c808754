"""Decisions in sentences that a data-protection officer understands.

Nothing here knows a record: only classes, levels, destinations, treatments and rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from gateway.domain.labels import HELD, DestinationInfo, Label, Treatment
from security.policy.compile import Decision
from security.policy.examine import Rule

OTHER = "(any other)"
"""Stands for every word that nobody wrote down."""

LEVELS = {
    1: "public",
    2: "can't identify a person",
    3: "could be joined to a person",
    4: "identifies a person",
    5: "special diseases",
    HELD: "held back, as its device was in quarantine",
}
LEAVES = {
    Treatment.PASS: "leaves unchanged, as the device sent it",
    Treatment.PSEUDONYMISE: "leaves under pseudonyms: names of devices and messages are replaced by"
    " keyed ones, places, badges and free text are gone, times stay",
    Treatment.GENERALISE: "leaves made coarse: names are replaced by keyed pseudonyms, free text is"
    " gone, times and places are made coarse",
    Treatment.MASK: "leaves without names: those of devices and messages, places, badges and free"
    " text are gone, times stay",
    Treatment.AGGREGATE: "leaves only as statistics over a group of devices",
    Treatment.WITHHOLD: "does not leave; only how many records were withheld is told",
}
TO = {
    Treatment.PASS: "to pass it unchanged",
    Treatment.PSEUDONYMISE: "to pseudonymise it",
    Treatment.GENERALISE: "to generalise it",
    Treatment.MASK: "to mask it",
    Treatment.AGGREGATE: "to aggregate it",
    Treatment.WITHHOLD: "to withhold it",
}


def data(label: Label) -> str:
    """``health status data of level 3 (could be joined to a person)``."""
    name = label.data_class.name.lower().replace("_", " ")
    return f"{name} data of level {label.level} ({LEVELS[label.level]})"


def destination(info: DestinationInfo) -> str:
    """Who it is and what the policy knows of it."""
    name = "any other destination" if info.name.startswith(OTHER) else info.name
    facts = [f"zone {info.zone}"]
    for what, value in (("purpose", info.purpose), ("tenant", info.tenant)):
        facts.append(f"any other {what}" if value.startswith(OTHER) else f"{what} {value}")
    return f"{name} ({', '.join(facts)})"


def rules(names: Iterable[str], known: Mapping[str, Rule]) -> str:
    """Rules by name, with what they say they are for."""
    return "; ".join(_rule(name, known) for name in names)


def _rule(name: str, known: Mapping[str, Rule]) -> str:
    rule = known.get(name)
    return f'{name} ("{rule.doc}")' if rule is not None and rule.doc else name


def explain(decision: Decision, info: DestinationInfo, known: Mapping[str, Rule]) -> list[str]:
    """What happens, which rule says so, and what was asked before; one sentence a line.

    Treatments that the same rules refuse share a line.
    """
    what = data(decision.label)
    lines = [f"{what[0].upper()}{what[1:]} for {destination(info)} {LEAVES[decision.treatment]}."]
    *before, last = decision.asked
    if last.permitted:
        plural = "Rules" if len(last.policies) > 1 else "Rule"
        lines.append(f"{plural} that permits this: {rules(last.policies, known)}.")
    else:
        before.append(last)
    for policies, alike in groupby(before, lambda asked: asked.policies):
        asked = ", ".join(TO[each.treatment] for each in alike)
        answer = f"forbidden by {rules(policies, known)}" if policies else "no rule permits it"
        lines.append(f"Asked {asked}: {answer}.")
    return lines


def short(decision: Decision, info: DestinationInfo) -> str:
    """One clause, for a counter-example."""
    what = f"{data(decision.label)} for {destination(info)} {_FIRST[decision.treatment]}"
    return f"{what}, by {', '.join(decision.policies) or 'no rule'}"


_FIRST = {treatment: text.split(":")[0].split(",")[0] for treatment, text in LEAVES.items()}
