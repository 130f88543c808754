"""What the network says of devices, and what is done when it is not what the registry says.

Rules:

* Whoever hears the network speak (a MEC platform, a network API, the accounting of secondary
  authentication) calls :meth:`SimWatch.told`; it is judged at once (:mod:`gateway.network.judge`),
  and again when the registry or the configuration changes.
* Each kind of mismatch raises an alarm of the gateway's about the device, and is audited; it ends
  when it agrees again. Audit and alarm name the device and the kind, never an identity.
* Quarantine and refusal apply in memory first. Then what stands is committed, so that it is in
  force after a restart before a device is let in; what the journal did not take is committed again.
* The fence says itself who is outside (:meth:`SimWatch.fenced`), and may say another answer than
  the policy's; :mod:`gateway.network.swaps` says whose SIM or modem was changed
  (:meth:`SimWatch.changed`). Both are kept, and end, as the others are.
* A word that is older than what is known of a device changes nothing. The network's clock may be
  ahead: its time counts as now at the latest. Ours may have been ahead: what is known of a time
  that has not come is older than any word.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

import msgspec

from gateway.domain.devices import Device
from gateway.domain.network import Attachment
from gateway.domain.ports import Clock, Counters, Sink, StateView
from gateway.network.config import Answer, SimConfig
from gateway.network.holds import Holds
from gateway.network.judge import SAID, Bindings, Mismatch, judge, merge
from gateway.network.memory import Memory
from security.identity import Auditor

log = logging.getLogger(__name__)

SPACE = "sim"
"""Of the journal's state: what stands, by device."""
REASON = "sim"
"""Why a device is held."""

TEXTS: Mapping[Mismatch, str] = {
    Mismatch.SIM_MOVED: "its SIM is seen with another device, or it with another SIM",
    Mismatch.WRONG_IMEI: "its SIM is seen in a modem that is not its own",
    Mismatch.WRONG_DNN: "it is in another data network than its own",
    Mismatch.WRONG_SLICE: "it is in another slice than its own",
    Mismatch.OUTSIDE_TAC: "it is outside its tracking areas",
    Mismatch.OUTSIDE_FENCE: "it has left the zones where it may be",
    Mismatch.SIM_CHANGED: "its number has got another SIM",
    Mismatch.MODEM_CHANGED: "its SIM is in another modem than before",
}
_DONE: Mapping[Answer, str] = {
    Answer.ALARM: "",
    Answer.QUARANTINE: "; it is collected, and nothing of it is released",
    Answer.REFUSE: "; it is kept out",
}
_STRICTNESS = tuple(Answer)
SWAPS = frozenset((Mismatch.SIM_CHANGED, Mismatch.MODEM_CHANGED))


class Gate(Protocol):
    """Who lets devices in; implemented by ``security.identity``."""

    def bar(self, device_id: str, why: str) -> int:
        """Keep a device out."""

    def unbar(self, device_id: str) -> None:
        """Let it in again."""


class Bell(Protocol):
    """Raises alarms about the gateway; implemented by ``gateway.notices``."""

    def condition(self, condition: str, text: str, *, active: bool, about: str = "") -> None:
        """A state began or ended."""


class Around(NamedTuple):
    """Its collaborators, each a port."""

    gate: Gate
    holds: Holds
    sink: Sink
    bell: Bell
    audit: Auditor
    clock: Clock
    counters: Counters


class _Known(msgspec.Struct, frozen=True):
    """What was last said of a device, and what of it is not as it should be."""

    seen: Attachment
    kinds: frozenset[Mismatch] = frozenset()
    answer: Answer | None = None
    """What its fence wants done while it is outside; None: the policy's."""


_NOTHING = _Known(Attachment(0))


class SimWatch:
    """To be used on the loop's thread."""

    def __init__(self, config: SimConfig, around: Around) -> None:
        self._config = config
        self._gate, self._holds = around.gate, around.holds
        self._memory = Memory(SPACE, _Known, "what stands of a device's SIM", around.sink)
        self._bell, self._audit = around.bell, around.audit
        self._clock, self._counters = around.clock, around.counters
        self._bindings = Bindings()
        self._known: dict[str, _Known] = {}
        """Bounded by the registry: of devices alone that are bound, or that the fence knows."""
        self._counts: Counter[Mismatch] = Counter()
        self._show()

    def restore(self, view: StateView) -> None:
        """Put in force what stood when the process before ended; before a device is let in."""
        for device_id, known in self._memory.read(view):
            self._known[device_id] = known
            self._counts.update(known.kinds)
            self._enforce(device_id, known)
            for kind in sorted(known.kinds):
                self._ring(kind, device_id, active=True)
        self._show()

    def told(self, seen: Attachment) -> None:
        """The network says something of a device; what concerns no bound device is left."""
        now_us = self._clock.now_us()
        seen = msgspec.structs.replace(seen, at_us=min(seen.at_us, now_us))
        for device_id in sorted(self._bindings.concerned(seen)):
            before = self._known.get(device_id)
            if before is not None and seen.at_us < before.seen.at_us <= now_us:
                continue
            self._judge(device_id, merge(before.seen if before else None, seen))

    def fenced(self, device_id: str, *, outside: bool, answer: Answer | None = None) -> None:
        """The fence found a device outside, or no longer; repeating is no news.

        Args:
            device_id: one that the registry knows.
            outside: whether it is.
            answer: what is done while it is; None: what the policy says.
        """
        known = self._known.get(device_id, _NOTHING)
        others = known.kinds - {Mismatch.OUTSIDE_FENCE}
        kinds = others | ({Mismatch.OUTSIDE_FENCE} if outside else set())
        self._say(device_id, _Known(known.seen, kinds, answer if outside else None))

    def changed(self, device_id: str, kinds: frozenset[Mismatch]) -> None:
        """Of a device's SIM and modem, these were changed, and no others; repeating is no news."""
        known = self._known.get(device_id, _NOTHING)
        self._say(device_id, _Known(known.seen, (known.kinds - SWAPS) | kinds, known.answer))

    def outside(self) -> frozenset[str]:
        """The devices that the fence found outside."""
        return self._those({Mismatch.OUTSIDE_FENCE})

    def changed_ones(self) -> frozenset[str]:
        """The devices of which SIM or modem was changed."""
        return self._those(SWAPS)

    def directory(self, devices: Iterable[Device]) -> None:
        """The registry changed: everything that is known is judged anew."""
        self._bindings = Bindings(devices)
        for device_id, known in list(self._known.items()):
            self._judge(device_id, known.seen)
            self._tidy(device_id)

    def follow(self, config: SimConfig) -> None:
        """Go on under another policy; it applies at once to what stands."""
        if config == self._config:
            return
        self._config = config
        for device_id, known in self._known.items():
            self._enforce(device_id, known)
        self._show()

    def tick(self) -> None:
        """Commit again what the journal did not take."""
        for device_id in self._memory.owed:
            self._save(device_id)

    def standing(self, device_id: str) -> frozenset[Mismatch]:
        """What is not as it should be of a device."""
        return self._known.get(device_id, _NOTHING).kinds

    def _those(self, kinds: AbstractSet[Mismatch]) -> frozenset[str]:
        return frozenset(name for name, known in self._known.items() if kinds & known.kinds)

    def _say(self, device_id: str, now: _Known) -> None:
        """Somebody who judges by himself says what is so."""
        before = self._known.get(device_id)
        if now != (before or _NOTHING):
            self._put(device_id, now)
            self._tidy(device_id)

    def _judge(self, device_id: str, seen: Attachment) -> None:
        known = self._known.get(device_id, _NOTHING)
        kinds = judge(self._bindings, device_id, seen) | (known.kinds & SAID)
        self._put(device_id, _Known(seen, kinds, known.answer))

    def _put(self, device_id: str, known: _Known) -> None:
        was = self._known.get(device_id, _NOTHING)
        self._known[device_id] = known
        before, now = was.kinds, known.kinds
        if now == before and known.answer == was.answer:
            return
        self._counts.update(now)
        self._counts.subtract(before)
        self._enforce(device_id, known)
        self._show()
        for kind in sorted(now - before):
            answer = self._answer(known, kind)
            log.warning("%s: %s%s", device_id, TEXTS[kind], _DONE[answer])
            self._audit.record("sim_mismatch", device=device_id, kind=kind, answer=answer)
        for kind in sorted(before - now):
            log.info("%s: no longer %s", device_id, kind)
            self._audit.record("sim_agrees", device=device_id, kind=kind)
        self._save(device_id)
        for kind in sorted(now ^ before):
            self._ring(kind, device_id, active=kind in now)

    def _tidy(self, device_id: str) -> None:
        """Forget a device that is not bound, unless something stands of it."""
        if device_id not in self._bindings.of and not self._known[device_id].kinds:
            del self._known[device_id]

    def _answer(self, known: _Known, kind: Mismatch) -> Answer:
        own = known.answer if kind is Mismatch.OUTSIDE_FENCE else None
        return own or self._config.answer(kind)

    def _enforce(self, device_id: str, known: _Known) -> None:
        """Hold and bar a device as far as its mismatches ask for, and no further."""
        answers = [self._answer(known, kind) for kind in known.kinds]
        strictest = max(answers, key=_STRICTNESS.index, default=Answer.ALARM)
        # Who is kept out is held, too: what was under way when its session ended is not released.
        if strictest is Answer.ALARM:
            self._holds.release(device_id, REASON)
        else:
            self._holds.hold(device_id, REASON)
        if strictest is Answer.REFUSE:
            self._gate.bar(device_id, "the network knows it by other words")
        else:
            self._gate.unbar(device_id)

    def _ring(self, kind: Mismatch, device_id: str, *, active: bool) -> None:
        answer = self._answer(self._known.get(device_id, _NOTHING), kind)
        text = f"{device_id}: {TEXTS[kind]}{_DONE[answer]}" if active else ""
        self._bell.condition(kind, text, active=active, about=device_id)

    def _save(self, device_id: str) -> None:
        known = self._known.get(device_id, _NOTHING)
        self._memory.save(device_id, known if known.kinds else None)

    def _show(self) -> None:
        for kind in Mismatch:
            self._counters.set("sim_mismatches", self._counts[kind], kind)
        self._counters.set("devices_held", len(self._holds.devices))
