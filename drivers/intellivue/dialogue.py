"""One opening of a monitor's link: frames, session, mapping."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from drivers.base import dialogue
from drivers.base.attachment import DialogueFactory
from drivers.base.dialogue import Malformed, Missed, Moment, Offline, Online, Said
from drivers.intellivue import framing, messages, session
from drivers.intellivue.clock import MonitorClock
from drivers.intellivue.config import MonitorPort
from drivers.intellivue.framing import Damage, FrameDecoder
from drivers.intellivue.mapping import Mapper
from drivers.intellivue.session import Attached, Detached, Polled, Session
from drivers.intellivue.table import Phase
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import Provenance


def dialogues(bound: MonitorPort, provenance: Provenance, rng: random.Random) -> DialogueFactory:
    """Makes a monitor's dialogues; what is known of its clock outlives a link loss."""
    clock = MonitorClock(bound.zone())

    def dialogue_with(device: Device) -> MonitorDialogue:
        return MonitorDialogue(Session(bound.times(), rng), Mapper(device, provenance, clock))

    return dialogue_with


class MonitorDialogue(dialogue.Dialogue):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(self, monitor: Session, mapper: Mapper) -> None:
        super().__init__()
        self._session = monitor
        self._mapper = mapper
        self._frames = FrameDecoder()
        self._counted = (0, 0)

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
        """The session's."""
        return self._session.deadline()

    def tick(self, now: Moment) -> Iterable[dialogue.Event]:
        """Do what is due."""
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
                case Attached(attributes):
                    self._mapper.anchor(attributes)
                    yield Online()
                case Detached(reason, attached):
                    if attached:
                        yield Offline(reason)
                case Polled(reply):
                    yield Said(self._mapper.records(reply, now.wall_us))
                    yield from self._losses()
        self.output += map(framing.encode, self._session.output)
        self._session.output.clear()

    def _losses(self) -> Iterator[Missed]:
        counted = self._session.incomplete, self._mapper.unmapped
        if counted != self._counted:
            yield Missed("incomplete", counted[0] - self._counted[0])
            yield Missed("unknown_metric", counted[1] - self._counted[1])
            self._counted = counted
