"""What a tag is: the lists that the pharmacy gives, and what the tag itself tells.

A tag names its article (GTIN) where it is encoded as GS1's EPC Tag Data Standard says (SGTIN-96);
lot and expiry date are on no tag, so they come from the list of items. The list wins over the tag.

An item's *class* is what is counted together: its GTIN, else its name, else nothing but that it is
not listed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

ITEMS_MAX: Final = 20_000
"""Listed items; some 300 bytes each."""
RECALLS_MAX: Final = 2_000
BADGES_MAX: Final = 10_000
UNLISTED: Final = "unlisted"
GTIN_DIGITS: Final = 14
DAY_US: Final = 86_400_000_000


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the list of items: one tag's (``epc``), or an article's (``gtin`` alone)."""

    epc: str = ""
    gtin: str = ""
    """14 digits."""
    name: str = ""
    lot: str = ""
    expiry: str = ""
    """The last day on which it is good: YYYY-MM-DD."""
    controlled: bool = False

    @property
    def key(self) -> str:
        return self.epc or self.gtin


class Recall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the list of recalls: one tag, a lot of an article, or all of it."""

    epc: str = ""
    gtin: str = ""
    lot: str = ""
    reason: str = ""

    @property
    def key(self) -> str:
        return f"{self.epc}/{self.gtin}/{self.lot}"


class Badge(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the list of badges."""

    epc: str
    staff: str
    roles: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.epc


Entry = Item | Recall | Badge


class What(NamedTuple):
    """What is known of a tag."""

    item_class: str
    name: str = ""
    lot: str = ""
    expiry: str = ""
    controlled: bool = False


@lru_cache(maxsize=4096)
def gtin_of(epc: str) -> str:
    """The GTIN that a tag names; empty when it names none."""
    from llrpkit.epc import decode_epc  # noqa: PLC0415  # half a second, for those who have cabinets

    try:
        decoded = decode_epc(epc)
    except ValueError:
        return ""
    gtin = decoded.fields.get("gtin", "") if decoded is not None else ""
    return gtin if len(gtin) == GTIN_DIGITS else ""


class Lists:
    """The lists in force."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.recalls: dict[str, Recall] = {}
        self.badges: dict[str, Badge] = {}

    def held(self, kind: type[Entry]) -> dict[str, Entry]:
        """The list of one kind, by the entries' keys."""
        table: dict[type[Entry], dict[str, Entry]] = {
            Item: self.items,  # type: ignore[dict-item]  # each holds its own kind
            Recall: self.recalls,  # type: ignore[dict-item]
            Badge: self.badges,  # type: ignore[dict-item]
        }
        return table[kind]

    def what(self, epc: str) -> What:
        """What a tag is."""
        item = self.items.get(epc) or Item()
        gtin = item.gtin or gtin_of(epc)
        article = (self.items.get(gtin) if gtin else None) or Item()
        name = item.name or article.name
        return What(
            gtin or name or UNLISTED,
            name,
            item.lot or article.lot,
            item.expiry or article.expiry,
            item.controlled or article.controlled,
        )

    def name_of(self, item_class: str) -> str:
        """What people call a class."""
        article = self.items.get(item_class)
        return article.name if article is not None else ""

    def recall_of(self, epc: str, what: What) -> Recall | None:
        """Why a tag's item is to go back; None: it is not."""
        found = self.recalls.get(f"{epc}//")
        if found is None:
            found = self.recalls.get(f"/{what.item_class}/")
        if found is None and what.lot:
            found = self.recalls.get(f"/{what.item_class}/{what.lot}")
        return found

    def badge(self, epc: str, prefixes: Iterable[str]) -> Badge | None:
        """Whose badge a tag is; None: it is none."""
        listed = self.badges.get(epc)
        if listed is not None:
            return listed
        if any(epc.startswith(prefix) for prefix in prefixes):
            return Badge(epc, epc)
        return None

    def roles_of(self, staff: str) -> frozenset[str]:
        """The roles of a member of staff, over all badges; empty: not listed."""
        roles = (each.roles for each in self.badges.values() if each.staff == staff)
        return frozenset(role for some in roles for role in some)


def today(at_us: int) -> str:
    """The day, in UTC, as expiry dates are written."""
    moment = dt.datetime.fromtimestamp(at_us / 1e6, dt.UTC)
    return moment.date().isoformat()


def expired(what: What, at_us: int) -> bool:
    """Whether its last day is past."""
    return bool(what.expiry) and what.expiry < today(at_us)


def expires_soon(what: What, at_us: int, days: int) -> bool:
    """Whether its last day comes within ``days``, and is not past."""
    if not what.expiry or expired(what, at_us):
        return False
    return what.expiry <= today(at_us + days * DAY_US)
