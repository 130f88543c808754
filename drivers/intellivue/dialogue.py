"""One opening of a monitor's link: frames, session, mapping."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from drivers.base import dialogue
from drivers.base.attachment import DialogueFactory
from drivers.base.dialogue import Malformed, Missed, Moment, Offline, Online, Said
from drivers.intellivue import framing, messages, session
from drivers.intellivue.attributes import Attributes
from drivers.intellivue.clock import MonitorClock
from drivers.intellivue.config import MonitorSettings
from drivers.intellivue.framing import Damage, FrameDecoder
from drivers.intellivue.mapping import Mapper
from drivers.intellivue.nomenclature import Attribute
from drivers.intellivue.session import Attached, Detached, Polled, Session
from drivers.intellivue.table import Phase
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import Provenance

FOREIGN_REST_S = 30.0
"""After a monitor that is another one: somebody may put the right one there."""


class Framing(Protocol):
    """How payloads travel: in frames on a line, or each in a datagram."""

    def feed(self, data: bytes) -> Iterable[bytes | Damage]:
        """Payloads and damage in what came."""


class OneEach:
    """A datagram is a payload."""

    def feed(self, data: bytes) -> Iterable[bytes | Damage]:
        """It."""
        return (data,)


def dialogues(
    bound: MonitorSettings, provenance: Provenance, rng: random.Random
) -> DialogueFactory:
    """Makes dialogues with a monitor on a line; what is known of its clock outlives a link loss."""
    return _factory(bound, provenance, rng, FrameDecoder, framing.encode)


def lan_dialogues(
    bound: MonitorSettings, provenance: Provenance, rng: random.Random
) -> DialogueFactory:
    """The same on a network, where each payload is a datagram."""
    return _factory(bound, provenance, rng, OneEach, bytes)


def _factory(
    bound: MonitorSettings,
    provenance: Provenance,
    rng: random.Random,
    frames: Callable[[], Framing],
    encode: Callable[[bytes], bytes],
) -> DialogueFactory:
    clock = MonitorClock(bound.zone())
    expected = bytes.fromhex(bound.system_id)

    def dialogue_with(device: Device) -> MonitorDialogue:
        mapper = Mapper(device, provenance, clock)
        found = MonitorDialogue(Session(bound.times(), rng), mapper, frames(), encode)
        found.expected = expected
        return found

    return dialogue_with


class MonitorDialogue(dialogue.Dialogue):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(
        self,
        monitor: Session,
        mapper: Mapper,
        frames: Framing,
        encode: Callable[[bytes], bytes],
    ) -> None:
        super().__init__()
        self._session = monitor
        self._mapper = mapper
        self._frames = frames
        self._encode = encode
        self.expected = b""
        """The system id that it must have; empty: any."""
        self._foreign_until: float | None = None
        """Another monitor is there: when to look again."""
        self._counted = (0, 0, 0)

    def begin(self, now: Moment) -> Iterable[dialogue.Event]:
        """Associate."""
        return self._events(self._session.link_up(now.monotonic_s), now)

    def receive(self, data: bytes, now: Moment) -> Iterator[dialogue.Event]:
        """Decode and map."""
        for found in self._frames.feed(data):
            if isinstance(found, Damage):
                yield Malformed(found.reason, found.sample)
                continue
            try:
                message = messages.decode(found)
            except MalformedError as error:
                yield Malformed(error.reason, found)
                continue
            yield from self._events(self._session.receive(message, now.monotonic_s), now)

    def deadline(self) -> float | None:
        """The session's, or when to look again for the right monitor."""
        return self._session.deadline() or self._foreign_until

    def tick(self, now: Moment) -> Iterable[dialogue.Event]:
        """Do what is due."""
        again = self._foreign_until
        if again is not None and now.monotonic_s >= again:
            self._foreign_until = None
            return self._events(self._session.link_up(now.monotonic_s), now)
        return self._events(self._session.tick(now.monotonic_s), now)

    def excuse(self, now: Moment) -> None:
        """See the session's."""
        self._session.excuse(now.monotonic_s)

    def link_down(self, now: Moment) -> Iterable[dialogue.Event]:
        """The association ends with the link."""
        return self._events(self._session.link_down(now.monotonic_s), now)

    def leave(self, now: Moment) -> Iterable[dialogue.Event]:
        """Release the association."""
        return self._events(self._session.stop(now.monotonic_s), now)

    @property
    def left(self) -> bool:
        """Whether there is no association, and none is being made or released."""
        return self._session.phase is Phase.OFFLINE

    def _events(self, events: list[session.Event], now: Moment) -> Iterator[dialogue.Event]:
        for event in events:
            match event:
                case Attached(attributes) if self._is_other(attributes):
                    yield Malformed("other_monitor", _system_id(attributes))
                    self._foreign_until = now.monotonic_s + FOREIGN_REST_S
                    self._session.output.clear()
                    self._session.stop(now.monotonic_s)
                case Attached(attributes):
                    self._mapper.anchor(attributes)
                    yield Online()
                case Detached(reason, attached):
                    if attached:
                        yield Offline(reason)
                case Polled(reply) if self._foreign_until is None:
                    yield Said(self._mapper.records(reply, now.wall_us))
                    yield from self._losses()
        self.output += map(self._encode, self._session.output)
        self._session.output.clear()

    def _is_other(self, attributes: Attributes) -> bool:
        return bool(self.expected) and _system_id(attributes) != self.expected

    def _losses(self) -> Iterator[Missed]:
        waves = self._mapper.waves
        counted = self._session.incomplete, self._mapper.unmapped, waves.unclear
        if counted != self._counted:
            reasons = ("incomplete", "unknown_metric", "unclear_wave")
            for reason, times, before in zip(reasons, counted, self._counted, strict=True):
                if times > before:
                    yield Missed(reason, times - before)
            self._counted = counted


def _system_id(attributes: Attributes) -> bytes:
    """What the MDS object says that it is: a length, and as many bytes."""
    told = attributes.get(Attribute.SYSTEM_ID)
    return told[2 : 2 + int.from_bytes(told[:2], "big")] if isinstance(told, bytes) else b""
