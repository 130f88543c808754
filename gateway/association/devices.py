"""Where devices stood, as people on site say; where they say nothing, the registry does.

Rules:

- A placement counts from its time until the next one of its device, or until it is released: then
  the registry counts again. A placement with an end is a correction, and stands over the others.
- A device that was ever placed has times without a hole from its first placement on, also those in
  which the registry counts, so that what was told of it before can be corrected.

No I/O, no clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

import msgspec

from gateway.association.book import Change
from gateway.association.events import KEY_BYTES, NOWHERE, OPEN, Bed
from gateway.association.occupancy import ASSOCIATION_ID_BYTES, Span, State
from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import MalformedError


class Placement(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where a device stands, from a time on. Fields are added at the end: they lie on disks."""

    device_id: str
    at_us: int
    recorded_us: int
    bed: Bed = NOWHERE
    """No bed: it stands at none."""
    until_us: int = 0
    """Of a correction: its end."""
    released: bool = False
    """From then on the registry says where it is."""
    registry: Bed = NOWHERE
    """Where the registry had it then."""
    by: str = ""

    @property
    def key(self) -> str:
        """What it is known by."""
        content = msgspec.structs.replace(self, by="")
        return blake2b(_encode(content), digest_size=KEY_BYTES).hexdigest()


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Placement)


def pack(placement: Placement) -> bytes:
    """As it is stored."""
    return _encode(placement)


def unpack(data: bytes) -> Placement:
    """What was stored.

    Raises:
        MalformedError: it is none.
    """
    try:
        return _decoder.decode(data)
    except UNDECODABLE as error:
        raise MalformedError("association_placement", str(error)) from error


class Placed(NamedTuple):
    """What a placement did."""

    changes: list[Change]
    forgotten: list[str]


class Devices:
    """Every device that was ever placed.

    Args:
        secret: names associations.
        placements_max: kept at most; beyond it a device's oldest are forgotten.
    """

    def __init__(self, secret: bytes, placements_max: int) -> None:
        self._secret = secret
        self._max = placements_max
        self._told: dict[str, dict[str, Placement]] = {}
        self._times: dict[str, list[Span]] = {}
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._times)

    def at(self, device_id: str, at_us: int) -> Bed | None:
        """Where a device stood; None: as the registry says."""
        known = self._times.get(device_id)
        if known is None:
            return None
        place = bisect_right(known, at_us, key=_begin) - 1
        return known[place].bed if place >= 0 else None

    def times(self, device_id: str) -> list[Span]:
        """All times of a device, in order."""
        return list(self._times.get(device_id, ()))

    def all(self) -> Iterator[tuple[str, list[Span]]]:
        """All times of all devices."""
        yield from self._times.items()

    def get(self, key: str) -> Placement | None:
        """A placement by its key."""
        return next((told[key] for told in self._told.values() if key in told), None)

    def keys_of(self, device_id: str) -> Collection[str]:
        """The keys of a device's placements."""
        return self._told.get(device_id, {}).keys()

    def place(self, *placements: Placement) -> Placed:
        """Take placements."""
        touched = set()
        forgotten = []
        for each in placements:
            told = self._told.setdefault(each.device_id, {})
            if each.key in told:
                continue
            if self._count >= self._max:
                forgotten += self._forget_one(told)
            told[each.key] = each
            self._count += 1
            touched.add(each.device_id)
        return Placed([c for device in sorted(touched) for c in self._renew(device)], forgotten)

    def restore(self, placements: Iterable[Placement]) -> None:
        """Take over what was committed."""
        self.place(*placements)

    def forget(self, before_us: int) -> list[str]:
        """Forget what ended before a time; the keys."""
        gone = []
        for device_id, told in list(self._told.items()):
            ordered = sorted(told.values(), key=_order)
            opened = [each for each in ordered if not each.until_us]
            newest = opened[-1].key if opened else ""
            for each in ordered:
                ended = each.until_us or each.at_us
                if max(ended, each.recorded_us) < before_us and each.key != newest:
                    del told[each.key]
                    self._count -= 1
                    gone.append(each.key)
            if not told:
                del self._told[device_id]
            self._renew(device_id)
        return gone

    def _forget_one(self, told: dict[str, Placement]) -> list[str]:
        """Make room, of this device's if it has any, else of the one that has most."""
        most = told or max(self._told.values(), key=len)
        key = min(most.values(), key=_order).key
        device_id = most.pop(key).device_id
        self._count -= 1
        if most is not told:
            self._renew(device_id)
        return [key]

    def _renew(self, device_id: str) -> list[Change]:
        before = {each.association_id: each for each in self._times.get(device_id, ())}
        now = self._spans(device_id)
        if now:
            self._times[device_id] = now
        else:
            self._times.pop(device_id, None)
        changes = []
        for span in now:
            known = before.pop(span.association_id, None)
            if known != span:
                changes.append(Change(span, known))
        gone = (Change(each._replace(state=State.WITHDRAWN), each) for each in before.values())
        return [*changes, *gone]

    def _spans(self, device_id: str) -> list[Span]:
        told = sorted(self._told.get(device_id, {}).values(), key=_order)
        if not told:
            return []
        opened = [each for each in told if not each.until_us]
        corrections = sorted(
            (each for each in told if each.until_us), key=lambda each: (each.recorded_us, each.key)
        )
        edges = {each.at_us for each in told} | {each.until_us for each in corrections}
        found: list[tuple[int, int, Placement]] = []
        for from_us, to_us in pairwise([*sorted(edges), OPEN]):
            there = [each for each in opened if each.at_us <= from_us]
            over = [each for each in corrections if each.at_us <= from_us < each.until_us]
            counts = over[-1] if over else there[-1] if there else told[0]
            if not over and not there:  # before the first placement the registry counted
                counts = msgspec.structs.replace(told[0], released=True, until_us=0)
            if found and found[-1][2] == counts and found[-1][1] == from_us:
                found[-1] = found[-1][0], to_us, counts
            else:
                found.append((from_us, to_us, counts))
        return [
            Span(
                self._name(device_id, from_us, each),
                each.registry if each.released else each.bed,
                from_us,
                to_us,
                "",
                State.CURRENT,
            )
            for from_us, to_us, each in found
        ]

    def _name(self, device_id: str, from_us: int, placement: Placement) -> str:
        words = ("device", device_id, str(from_us), placement.key)
        digest = blake2b(
            "\n".join(words).encode(), digest_size=ASSOCIATION_ID_BYTES, key=self._secret
        )
        return digest.hexdigest()


def _order(placement: Placement) -> tuple[int, int, str]:
    return placement.at_us, placement.recorded_us, placement.key


def _begin(span: Span) -> int:
    return span.from_us
