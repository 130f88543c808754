"""OBX-6 -> UCUM, in each of the forms that are in use (IHE PCD TF-2, appendix B.8).

- ``266016^MDC_DIM_MMHG^MDC``, alone, or with ``^mm[Hg]^mm[Hg]^UCUM`` behind it or before it;
- ``mm[Hg]^mm[Hg]^UCUM``; ``3122^mL/h^UCUM^…``, where the UCUM unit stands second;
- ``mmHg`` and the like, without a system.

A unit that our table knows is preferred, from whichever triple; one that it does not know is taken
as UCUM where the sender says that it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from gateway.domain import units

REMEMBERED_MAX: Final = 1024
_UCUM: Final = re.compile(r"[A-Za-z0-9%/.\[\]{}'_()*-]{1,32}", re.ASCII)


@lru_cache(maxsize=REMEMBERED_MAX)
def unit(components: tuple[str, ...]) -> str:
    """The UCUM unit of an OBX-6; empty if it names none."""
    unknown = ""
    for names, system in _triples(components):
        for name in names:
            found = _known(name, system)
            if found is not None:
                return found.ucum
            if system == "UCUM" and not unknown and not name.isdigit() and _UCUM.fullmatch(name):
                unknown = name
    return unknown


def _known(name: str, system: str) -> units.Unit | None:
    if not name:
        return None
    if system == "MDC":
        is_code = name.isascii() and name.isdigit() and len(name) <= 9
        return units.BY_CODE.get(int(name)) if is_code else units.BY_REFID.get(name)
    return units.find(name)


def _triples(components: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Identifier and text, and the system that they are of."""
    for first in (0, 3):
        triple = tuple(each.strip() for each in components[first : first + 3])
        if any(triple):
            yield triple[:2], triple[2].upper() if len(triple) == 3 else ""
