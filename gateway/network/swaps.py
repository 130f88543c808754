"""What the network says of SIMs and modems that were changed, against what a person has confirmed.

Rules:

* The network tells when a number last got another SIM, and when its SIM was last in another modem;
  never which. What it tells first, once a device is bound, is taken as right: what is newer later
  is a mismatch (``sim_changed``, ``modem_changed``), and told to the
  :class:`~gateway.network.watch.SimWatch`, where its answer, its end and its memory are.
* It ends when a person confirms it, or the registry binds the device to another SIM, number or
  modem; then what is told next is taken as right. That it is told no longer ends nothing: networks
  forget after a while, by law.
* What was taken as right is committed, so that what changes while the gateway is down is seen.
  What the journal did not take is committed again.

No I/O, no clock: only the network's times are compared, with each other. To be used on the loop's
thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

import msgspec

from gateway.domain.devices import Device, Standing
from gateway.domain.network import Binding, Swapped
from gateway.domain.ports import Outcome, Sink, StateView
from gateway.network.judge import Mismatch
from gateway.network.memory import Memory

SPACE: Final = "swaps"
"""Of the journal's state: what was taken as right and what was last told, by device."""


class Watch(Protocol):
    """Who answers for mismatches; implemented by ``gateway.network.watch``."""

    def changed(self, device_id: str, kinds: frozenset[Mismatch]) -> None:
        """Of a device's SIM and modem, these were changed; repeating is no news."""

    def changed_ones(self) -> frozenset[str]:
        """The devices of which one of these stands."""


class Kept(msgspec.Struct, frozen=True):
    """Of one device."""

    bound: tuple[str, str, str]
    """SUPI, GPSI and IMEI that it was bound to."""
    right: Swapped
    last: Swapped

    @property
    def kinds(self) -> frozenset[Mismatch]:
        """What is newer than what was taken as right."""
        found = {
            Mismatch.SIM_CHANGED: _newer(self.last.sim_us, self.right.sim_us),
            Mismatch.MODEM_CHANGED: _newer(self.last.modem_us, self.right.modem_us),
        }
        return frozenset(kind for kind, newer in found.items() if newer)


class Shown(NamedTuple):
    """One device, for who looks."""

    device_id: str
    last: Swapped
    kinds: frozenset[Mismatch]


class Swaps:
    """Every device's."""

    def __init__(self, watch: Watch, sink: Sink) -> None:
        self._watch = watch
        self._memory = Memory(SPACE, Kept, "what is known of a device's swaps", sink)
        self._bound: dict[str, tuple[str, str, str]] = {}
        self._kept: dict[str, Kept] = {}
        """Bounded by the registry."""

    def restore(self, view: StateView, *, asked: bool) -> None:
        """Go on with what was taken as right, after the watch was restored.

        Args:
            view: what was committed.
            asked: whether the network is asked at all; if not, nobody can say that it ended, and
                it ends.
        """
        self._kept.update(self._memory.read(view))
        for device_id in sorted({*self._kept, *self._watch.changed_ones()}):
            kept = self._kept.get(device_id)
            if asked and kept is not None:
                self._watch.changed(device_id, kept.kinds)
            else:
                self._forget(device_id)

    def directory(self, devices: Iterable[Device]) -> None:
        """The registry changed: who is bound otherwise now is taken as right anew."""
        self._bound = {
            each.device_id: _identities(each.network)
            for each in devices
            if each.network.gpsi and each.standing is not Standing.RETIRED
        }
        for device_id, kept in list(self._kept.items()):
            if self._bound.get(device_id) != kept.bound:
                self._forget(device_id)

    def told(self, device_id: str, swapped: Swapped) -> None:
        """The network says when a device's SIM and modem were last changed."""
        bound = self._bound.get(device_id)
        if bound is None:
            return
        before = self._kept.get(device_id)
        if before is None:
            if not swapped:
                return
            now = Kept(bound, swapped, swapped)
        else:
            right = Swapped(
                *(
                    said if known is None else known
                    for said, known in zip(swapped, before.right, strict=True)
                )
            )
            last = Swapped(*map(_latest, swapped, before.last))
            now = Kept(bound, right, last)
        if now != before:
            self._kept[device_id] = now
            self._watch.changed(device_id, now.kinds)
            self._memory.save(device_id, now)

    async def confirm(self, device_id: str) -> frozenset[Mismatch]:
        """A person says that what changed is right; returns what ended, once it is committed.

        Raises:
            KeyError: the network has said nothing of the device.
            OSError: the journal takes nothing now: it counts, and is committed once it does.
        """
        before = self._kept[device_id]
        now = msgspec.structs.replace(before, right=before.last)
        self._kept[device_id] = now
        self._watch.changed(device_id, now.kinds)
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._memory.save(device_id, now, outcome.set_result)
        if await outcome is not Outcome.COMMITTED:
            raise OSError("the journal takes nothing")
        return before.kinds

    def tick(self) -> None:
        """Commit again what the journal did not take."""
        for device_id in self._memory.owed:
            self._memory.save(device_id, self._kept.get(device_id))

    def list(self) -> list[Shown]:
        """Every device of which the network has said something, by name."""
        return [Shown(name, kept.last, kept.kinds) for name, kept in sorted(self._kept.items())]

    def _forget(self, device_id: str) -> None:
        self._kept.pop(device_id, None)
        self._watch.changed(device_id, frozenset())
        self._memory.save(device_id, None)


def _identities(binding: Binding) -> tuple[str, str, str]:
    return binding.supi, binding.gpsi, binding.imei


def _newer(last: int | None, right: int | None) -> bool:
    return last is not None and right is not None and last > right


def _latest(said: int | None, known: int | None) -> int | None:
    return max((each for each in (said, known) if each is not None), default=None)
