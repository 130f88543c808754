"""Cedar's refusals, said to somebody who writes policies and not Cedar.

What Cedar finds wrong is told with the words that there are, and for a text that can't be read,
with the line of the rule. A message that is not known here stays as Cedar says it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import cedarpy

from gateway.domain.labels import DataClass, Treatment, Zone

_WORDS = {
    "Zone": ("zone", [str(zone.value) for zone in Zone]),
    "DataClass": ("class", [each.name.lower() for each in DataClass]),
    "Action": (
        "treatment",
        [each.name.lower() for each in Treatment if each is not Treatment.WITHHOLD],
    ),
}
_ATTRIBUTES = {
    "Destination": ("a destination", ["zone", "purpose", "tenant"]),
    "Data": ("a kind of data", ["class", "level"]),
}
_NO_WORD = re.compile(r'(?:entity|unrecognized action) `(Zone|DataClass|Action)::"([^"`]*)"`.*')
_NO_ATTRIBUTE = re.compile(r"attribute `([^`]*)` on entity type `(Destination|Data)` not found.*")
_NO_CONTEXT = re.compile(r"attribute `([^`]*)` in context for .*")
_OF_POLICY = re.compile(r"^for policy `[^`]*`[:,] ")
_UNREADABLE = re.compile(r"^Policy parse error: (.*)", re.DOTALL)
_ENDS = re.compile(r'//[^\n\r]*|"(?:\\.|[^"\\])*"|;', re.DOTALL)
"""Comments and strings, which may hold anything, and what ends a rule."""
_FOLLOWS = "unable to find an applicable action given the policy scope constraints"
"""Said besides of every rule with a misspelt treatment."""


def in_words(text: str, faults: Iterable[tuple[str, str]]) -> str:
    """What is wrong with a policy, rule by rule.

    Args:
        text: the policy.
        faults: name of a rule, or nothing, and what Cedar says of it.
    """
    said = [
        (name, _said(text, _OF_POLICY.sub("", fault)), _FOLLOWS in fault) for name, fault in faults
    ]
    reasons = {name for name, _, follows in said if not follows}
    told = [
        f"{name}: {fault}" if name else fault
        for name, fault, follows in said
        if not follows or name not in reasons
    ]
    return "; ".join(told) or "not valid"


def _said(text: str, fault: str) -> str:
    for pattern, say in _SAY:
        found = pattern.fullmatch(fault)
        if found:
            return say(text, found)
    return fault


def _no_word(_text: str, found: re.Match[str]) -> str:
    what, known = _WORDS[found[1]]
    return f'there is no {what} "{found[2]}", only {", ".join(known)}'


def _no_attribute(_text: str, found: re.Match[str]) -> str:
    what, known = _ATTRIBUTES[found[2]]
    return f'{what} has no "{found[1]}", only {", ".join(known)}'


def _no_context(_text: str, found: re.Match[str]) -> str:
    return f'a rule knows the destination and the kind of data: there is no "context.{found[1]}"'


def _unreadable(text: str, found: re.Match[str]) -> str:
    return f"the rule that begins in line {_line_of_fault(text)} can't be read: {found[1]}"


_SAY: tuple[tuple[re.Pattern[str], Callable[[str, re.Match[str]], str]], ...] = (
    (_NO_WORD, _no_word),
    (_NO_ATTRIBUTE, _no_attribute),
    (_NO_CONTEXT, _no_context),
    (_UNREADABLE, _unreadable),
)


def _line_of_fault(text: str) -> int:
    """Where the first rule begins that Cedar can't parse."""
    begin = 0
    for piece in _ENDS.finditer(text):
        if piece[0] == ";":
            if not _is_readable(text[begin : piece.end()]):
                break
            begin = piece.end()
    rest = re.sub(r"\A(?:\s|//[^\n]*)+", "", text[begin:])
    return text.count("\n", 0, len(text) - len(rest)) + 1


def _is_readable(rule: str) -> bool:
    try:
        cedarpy.policies_to_json_str(rule)
    except ValueError:
        return False
    return True
