"""What a pump's answers say.

An answer does not repeat its question. An answer to LE has, for each letter that was asked, the
letter and its value, with ``;`` between them, and always more than one; a drug's name has none. An
answer of the one form is never taken for the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from drivers.fresenius.codec import Query
from gateway.domain.errors import MalformedError

ALARM, ERROR, MODE, RATE, VOLUME = "a", "e", "m", "d", "r"

NOT_USED: Final = frozenset(("04", "0A", "0B"))
"""Errors: syntax; identifier not used; identifier incorrect. The pump knows fewer variables."""
CLOSED: Final = frozenset(("0D", "0E", "1E"))
"""Errors: the session with the base, or the module, is not open."""

_VALUE: Final = re.compile(r"[0-9A-Za-z]{1,16}")


def variables(query: Query, arguments: str | None) -> Mapping[str, str]:
    """The values of an answer to LE, by letter.

    >>> variables(Query.RATE_AND_VOLUME, "d0023;r000004D2")
    {'d': '0023', 'r': '000004D2'}

    Raises:
        MalformedError: ``variables``: it is not an answer to this question.
    """
    asked = query.value.decode("ascii").partition(";")[2]
    found = told(arguments)
    if found.keys() != set(asked):
        raise MalformedError("variables", f"{len(found)} of {len(asked)}")
    return found


def told(arguments: str | None) -> Mapping[str, str]:
    """The values of what a pump says unasked, by letter.

    Raises:
        MalformedError: ``variables``.
    """
    found: dict[str, str] = {}
    for part in (arguments or "").split(";"):
        letter, value = part[:1], part[1:]
        if letter in found or not _VALUE.fullmatch(value):
            raise MalformedError("variables", f"{len(part)} characters")
        found[letter] = value
    return found


def drug(arguments: str | None) -> str:
    """The name of the drug; empty: none.

    Raises:
        MalformedError: ``drug``: it is an answer to something else.
    """
    name = (arguments or "").strip()
    if ";" in name:
        raise MalformedError("drug", f"{len(name)} characters")
    return name
