"""The pharmacy's lists as CSV files, checked line by line.

The first line names the columns, in any order. UTF-8 (a byte order mark is no harm), comma or
semicolon. A list is taken whole or not at all: half a list of recalls would look like a whole one.

- items: ``epc`` and/or ``gtin``, ``name``, ``lot``, ``expiry`` (YYYY-MM-DD), ``controlled``
  (yes/no)
- recalls: ``epc`` or ``gtin``, ``lot``, ``reason``
- badges: ``epc``, ``staff``, ``roles`` (separated by spaces)
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway.cabinet.lists import (
    BADGES_MAX,
    GTIN_DIGITS,
    ITEMS_MAX,
    RECALLS_MAX,
    Badge,
    Entry,
    Item,
    Recall,
)
from gateway.domain.errors import MalformedError

LIST_BYTES_MAX: Final = 3 * 1024 * 1024
TEXT_MAX: Final = 120
"""Characters of a name, lot, reason, member of staff or role."""
EPC_DIGITS_MAX: Final = 124
"""An EPC of 496 bits, the longest that Gen2 tags have."""
ROLES_MAX: Final = 8

Line = Mapping[str, str]


def parse(kind: type[Entry], document: bytes) -> tuple[Entry, ...]:
    """Read a list.

    Raises:
        MalformedError: with the line's number and what is wrong there.
    """
    if len(document) > LIST_BYTES_MAX:
        raise MalformedError("too_long", f"more than {LIST_BYTES_MAX} bytes")
    try:
        text = document.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError("encoding", "not UTF-8") from error
    columns = _KINDS[kind][0]
    head = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=";" if ";" in head else ",", strict=True)
    try:
        found = _entries(kind, reader)
    except (ValueError, csv.Error) as error:
        raise MalformedError("list", f"line {reader.line_num}: {error}") from error
    if found is None:
        raise MalformedError("list", f"no columns; it has {', '.join(columns)}")
    return tuple(found.values())


def _entries(kind: type[Entry], rows: Iterable[list[str]]) -> dict[str, Entry] | None:
    columns, make, most = _KINDS[kind]
    found: dict[str, Entry] = {}
    names: list[str] | None = None
    for row in rows:
        if not any(map(str.strip, row)):
            continue
        if names is None:
            names = _columns(row, columns)
            continue
        if len(row) != len(names):
            raise ValueError(f"{len(row)} columns, not {len(names)}")
        entry = make(dict.fromkeys(columns, "") | dict(zip(names, map(_text, row), strict=True)))
        if entry.key in found:
            raise ValueError("named twice")
        found[entry.key] = entry
        if len(found) > most:
            raise ValueError(f"more than {most} lines")
    return None if names is None else found


def _columns(row: list[str], known: tuple[str, ...]) -> list[str]:
    names = [name.strip().lower() for name in row]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no column {unknown[0]!r}; there are {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ValueError("a column is named twice")
    return names


def _text(value: str) -> str:
    value = value.strip()
    if len(value) > max(TEXT_MAX, EPC_DIGITS_MAX):
        raise ValueError("a value is too long")
    if not value.isprintable():
        raise ValueError("a value has control characters")
    return value


def _epc(value: str) -> str:
    value = value.upper()
    if value and (len(value) > EPC_DIGITS_MAX or set(value) - set("0123456789ABCDEF")):
        raise ValueError("epc: not hexadecimal")
    return value


def gtin(value: str) -> str:
    """A GTIN-8, -12, -13 or -14 as 14 digits.

    Raises:
        ValueError: it is none, or its check digit is wrong.
    """
    from llrpkit.epc import gs1_check_digit  # noqa: PLC0415  # half a second

    if not value:
        return ""
    if not (value.isascii() and value.isdigit() and len(value) in {8, 12, 13, 14}):
        raise ValueError("gtin: not 8, 12, 13 or 14 digits")
    if gs1_check_digit(value[:-1]) != int(value[-1]):
        raise ValueError("gtin: wrong check digit")
    return value.zfill(GTIN_DIGITS)


def _is_date(value: str) -> bool:
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        return False
    return len(value) == len("2027-01-31")


def _item(line: Line) -> Item:
    epc, article = _epc(line["epc"]), gtin(line["gtin"])
    if not (epc or article):
        raise ValueError("neither epc nor gtin")
    if line["expiry"] and not _is_date(line["expiry"]):
        raise ValueError("expiry: not YYYY-MM-DD")
    if line["controlled"].lower() not in _YES | _NO:
        raise ValueError("controlled: neither yes nor no")
    return Item(
        epc, article, line["name"], line["lot"], line["expiry"], line["controlled"].lower() in _YES
    )


def _recall(line: Line) -> Recall:
    epc, article = _epc(line["epc"]), gtin(line["gtin"])
    if bool(epc) == bool(article):
        raise ValueError("either epc or gtin")
    if epc and line["lot"]:
        raise ValueError("an epc has no lot beside it")
    return Recall(epc, article, line["lot"], line["reason"])


def _badge(line: Line) -> Badge:
    if not (line["epc"] and line["staff"]):
        raise ValueError("epc and staff are needed")
    roles = tuple(line["roles"].split())
    if len(roles) > ROLES_MAX:
        raise ValueError(f"more than {ROLES_MAX} roles")
    return Badge(_epc(line["epc"]), line["staff"], roles)


_YES = frozenset(("yes", "y", "true", "1"))
_NO = frozenset(("", "no", "n", "false", "0"))
_KINDS: Final[Mapping[type[Entry], tuple[tuple[str, ...], Callable[[Line], Entry], int]]] = {
    Item: (("epc", "gtin", "name", "lot", "expiry", "controlled"), _item, ITEMS_MAX),
    Recall: (("epc", "gtin", "lot", "reason"), _recall, RECALLS_MAX),
    Badge: (("epc", "staff", "roles"), _badge, BADGES_MAX),
}
