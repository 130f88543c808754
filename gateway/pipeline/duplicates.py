"""Message ids that were stored before.

A device numbers its messages ``boot:n``. Per device and boot a window of the last ``window``
numbers says which were seen; a few boots are kept per device. Rules:

- An id is taken when its message is admitted, and kept once the message is durable. When the
  commit is refused or fails, the id is given back: the device's repeat will be admitted.
- A repeat of a message that is still on its way is dropped, but shares the original's fate: it
  must not be acknowledged before the original is durable.
- A number below the window is admitted (at-least-once) and counted: a message that might be new
  is never dropped.
- An id that is no ``boot:n`` (an HL7 control id) is remembered among the device's last
  ``opaque_ids`` of that sort.

The windows survive a restart through a checkpoint and the journal's records behind it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import chain
from typing import Any, Final, Protocol

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Outcome
from gateway.journal.types import StoredGroup
from gateway.pipeline.config import DuplicateRule
from protos.wardgate.v1 import ingest_pb2 as pb

NUMBER_DIGITS_MAX: Final = 19
"""Of ``n``; longer ones are remembered as opaque ids."""
CHECKPOINT_VERSION: Final = 1
PART_DEVICES: Final = 128
"""Devices per part of a checkpoint: under a millisecond of the event loop."""


class Fate(Protocol):
    """The commit that an admitted message is waiting for."""

    @property
    def outcome(self) -> Outcome | None:
        """None while it is under way."""


class Verdict(Enum):
    """What is known of a message id."""

    NEW = "new"
    BEYOND = "beyond"
    """Older than the window reaches: admitted, for it might be new."""
    REPEAT = "repeat"


class Window:
    """The last ``size`` numbers of one boot, as a ring of bits."""

    __slots__ = ("bits", "high", "pending", "size")

    def __init__(self, size: int, high: int = -1, bits: bytes = b"") -> None:
        self.size = size
        self.high = high
        """The greatest number seen; the window is ``(high - size, high]``."""
        self.bits = bytearray(bits or size // 8)
        """Bit ``n % size`` belongs to number ``n`` of the window."""
        self.pending: dict[int, Fate] = {}
        """Numbers that are taken but not durable."""

    def __contains__(self, n: int) -> bool:
        if not self.high - self.size < n <= self.high:
            return False
        at = n % self.size
        return bool(self.bits[at >> 3] >> (at & 7) & 1)

    def take(self, n: int, fate: Fate | None) -> Verdict:
        """Take ``n`` unless it is taken; ``fate`` is None when it is durable already."""
        high = self.high
        at = n % self.size
        if n > high:
            if n != high + 1:
                self._clear_between(high, n)
            self.high = n
            self.bits[at >> 3] |= 1 << (at & 7)
        elif n <= high - self.size:
            return Verdict.BEYOND
        elif self.bits[at >> 3] >> (at & 7) & 1:
            return Verdict.REPEAT
        else:
            self.bits[at >> 3] |= 1 << (at & 7)
        if fate is not None:
            self.pending[n] = fate
        return Verdict.NEW

    def keep(self, n: int) -> None:
        """``n`` is durable."""
        self.pending.pop(n, None)

    def give_back(self, n: int) -> None:
        """``n`` was not stored."""
        if self.pending.pop(n, None) is not None and n in self:
            at = n % self.size
            self.bits[at >> 3] &= ~(1 << (at & 7)) & 0xFF

    def durable_bits(self) -> bytes:
        """The ring without what is pending."""
        if not self.pending:
            return bytes(self.bits)
        bits = bytearray(self.bits)
        for n in self.pending:
            if n in self:
                at = n % self.size
                bits[at >> 3] &= ~(1 << (at & 7)) & 0xFF
        return bytes(bits)

    def _clear_between(self, high: int, n: int) -> None:
        """Clear the ring from ``high + 1`` to ``n``, where ``n > high``."""
        if n - high >= self.size:
            self.bits = bytearray(self.size // 8)
            return
        at = high + 1
        while at <= n:
            place = at % self.size
            if place & 7 == 0 and at + 7 <= n:
                run = min((n - at + 1) >> 3, (self.size - place) >> 3)
                self.bits[place >> 3 : (place >> 3) + run] = bytes(run)
                at += run << 3
            else:
                self.bits[place >> 3] &= ~(1 << (place & 7)) & 0xFF
                at += 1


class Opaque:
    """The last ids of a device that are no ``boot:n``; the same contract as a window."""

    __slots__ = ("ids", "pending", "size")

    def __init__(self, size: int, ids: Iterable[str] = ()) -> None:
        self.size = size
        self.ids: OrderedDict[str, None] = OrderedDict.fromkeys(ids)
        self.pending: dict[str, Fate] = {}

    def take(self, n: str, fate: Fate | None) -> Verdict:
        """Take the id unless it is taken."""
        if n in self.ids:
            return Verdict.REPEAT
        if len(self.ids) >= self.size:
            self.ids.popitem(last=False)
        self.ids[n] = None
        if fate is not None:
            self.pending[n] = fate
        return Verdict.NEW

    def keep(self, n: str) -> None:
        """The id's message is durable."""
        self.pending.pop(n, None)

    def give_back(self, n: str) -> None:
        """The id's message was not stored."""
        if self.pending.pop(n, None) is not None:
            self.ids.pop(n, None)


class Known:
    """What is remembered of one device."""

    __slots__ = ("boot", "boots", "newest", "opaque")

    def __init__(self) -> None:
        self.boots: dict[str, Window] = {}
        """The boot used last is the last one."""
        self.boot: str | None = None
        self.newest = Window(0)
        """The last one, at hand."""
        self.opaque: Opaque | None = None

    def use(self, boot: str, window: Window) -> None:
        """Put a boot last that is not there."""
        self.boots[boot] = self.newest = window
        self.boot = boot

    def busy(self) -> bool:
        """Whether a message of the device is on its way."""
        if self.opaque is not None and self.opaque.pending:
            return True
        return any(window.pending for window in self.boots.values())


class Place(Protocol):
    """Where ids of one sort are remembered: a Window of numbers, or Opaque ids."""

    pending: dict[Any, Fate]

    def take(self, n: Any, fate: Fate | None) -> Verdict:
        """Take the id unless it is taken; ``fate`` is None when it is durable already."""

    def keep(self, n: Any) -> None:
        """The id's message is durable."""

    def give_back(self, n: Any) -> None:
        """The id's message was not stored."""


Claim = tuple[Place, Any]
"""One id: where it is remembered, and as what."""


class _Saved(msgspec.Struct, array_like=True):
    device_id: str
    boots: list[tuple[str, int, bytes]]
    opaque: list[str]


class _Checkpoint(msgspec.Struct, array_like=True):
    version: int
    window: int
    parts: list[bytes]


class Duplicates:
    """The windows of every device."""

    def __init__(self, rule: DuplicateRule) -> None:
        self._rule = rule
        self._devices: OrderedDict[str, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._devices)

    def claim(self, device_id: str, message_id: str) -> Claim:
        """Where this id is remembered; nothing is taken yet."""
        known = self._devices.get(device_id)
        if known is None:
            known = self._admit(device_id)
        else:
            self._devices.move_to_end(device_id)
        boot, _, number = message_id.rpartition(":")
        # "07" and "7" are two ids: only the plain spelling is a number here.
        if (
            boot == known.boot
            and number.isdecimal()
            and number.isascii()
            and number[0] != "0"
            and len(number) <= NUMBER_DIGITS_MAX
        ):
            return known.newest, int(number)
        return self._rare_claim(known, boot, number, message_id)

    def parts(self) -> Iterator[bytes]:
        """Everything durable, a few devices at a time; what is on its way is left out.

        Between two parts the loop may run on: each id is then in or not in the checkpoint, and
        one that was durable before the first part is in.
        """
        names = tuple(self._devices)
        for first in range(0, len(names), PART_DEVICES):
            part = []
            for name in names[first : first + PART_DEVICES]:
                known = self._devices.get(name)
                if known is not None:
                    part.append(_save(name, known))
            yield msgspec.msgpack.encode(part)

    def checkpoint(self, parts: Iterable[bytes]) -> bytes:
        """Put parts together, to :meth:`restore` from."""
        return msgspec.msgpack.encode(
            _Checkpoint(CHECKPOINT_VERSION, self._rule.window, list(parts))
        )

    def restore(self, checkpoint: bytes) -> None:
        """Take over a checkpoint; a window of another size is carried over as far as it reaches.

        Raises:
            MalformedError: not a checkpoint of this version; nothing was taken over.
        """
        try:
            saved = msgspec.msgpack.decode(checkpoint, type=_Checkpoint)
            parts = [msgspec.msgpack.decode(part, type=list[_Saved]) for part in saved.parts]
        except UNDECODABLE as error:
            raise MalformedError("duplicates_checkpoint", str(error)) from error
        size = saved.window
        if saved.version != CHECKPOINT_VERSION or size < 8 or size % 8:
            raise MalformedError("duplicates_checkpoint", f"version {saved.version}")
        devices = list(chain.from_iterable(parts))
        if any(len(bits) * 8 != size for device in devices for _, _, bits in device.boots):
            raise MalformedError("duplicates_checkpoint", "a window of another size")
        for device in devices:
            known = self._devices.get(device.device_id) or self._admit(device.device_id)
            for boot, high, bits in device.boots:
                known.boots.pop(boot, None)
                self._make_room(known)
                known.use(boot, self._resized(Window(size, high, bits)))
            if device.opaque:
                size_max = self._rule.opaque_ids
                known.opaque = Opaque(size_max, device.opaque[-size_max:])

    def replay(self, groups: Iterable[StoredGroup]) -> int:
        """Take the ids of records that the journal holds, in its order; how many there were."""
        count = 0
        for device_id, message_id in ids_of(groups):
            place, n = self.claim(device_id, message_id)
            place.take(n, None)
            count += 1
        return count

    def forget(self, device_id: str) -> None:
        """Drop a device that was retired; idempotent."""
        self._devices.pop(device_id, None)

    def _rare_claim(self, known: Known, boot: str, number: str, message_id: str) -> Claim:
        plain = number.isdecimal() and number.isascii() and len(number) <= NUMBER_DIGITS_MAX
        if not boot or not plain or str(int(number)) != number:
            if known.opaque is None:
                known.opaque = Opaque(self._rule.opaque_ids)
            return known.opaque, message_id
        window = known.boots.pop(boot, None)
        if window is None:
            self._make_room(known)
            window = Window(self._rule.window)
        known.use(boot, window)
        return window, int(number)

    def _make_room(self, known: Known) -> None:
        if len(known.boots) >= self._rule.boots:
            oldest = next((b for b, w in known.boots.items() if not w.pending), None)
            # All of them on their way at once: only a device that misbehaves gets here.
            known.boots.pop(oldest if oldest is not None else next(iter(known.boots)))

    def _admit(self, device_id: str) -> Known:
        if len(self._devices) >= self._rule.devices:
            idle = next((d for d, k in self._devices.items() if not k.busy()), None)
            self._devices.pop(idle if idle is not None else next(iter(self._devices)))
        known = self._devices[device_id] = Known()
        return known

    def _resized(self, saved: Window) -> Window:
        if saved.size == self._rule.window:
            return saved
        window = Window(self._rule.window, saved.high)
        for n in range(max(0, saved.high - min(saved.size, window.size) + 1), saved.high + 1):
            if n in saved:
                at = n % window.size
                window.bits[at >> 3] |= 1 << (at & 7)
        return window


def _save(device_id: str, known: Known) -> _Saved:
    boots = [(boot, window.high, window.durable_bits()) for boot, window in known.boots.items()]
    opaque = known.opaque
    ids = [] if opaque is None else [i for i in opaque.ids if i not in opaque.pending]
    return _Saved(device_id, boots, ids)


def ids_of(groups: Iterable[StoredGroup]) -> Iterator[tuple[str, str]]:
    """(device id, message id) of every stored record that a device's message became.

    Alarms are left out: one carries the id of the report that caused it, and is stored even
    when the report was refused.
    """
    for group in groups:
        for section in group.sections:
            for record in pb.Section.FromString(section.body).records:
                body = record.WhichOneof("body")
                if body in ("report", "device_status", "inventory_event"):
                    message = getattr(record, body)
                    if message.message_id:
                        yield message.device_id, message.message_id
