"""Several devices on one line, each a device of its own to everything else.

A base with several pumps has one serial port, and each pump has its bed, its certificate's stead
(the configuration binds port and station to it), its gaps and its status. So each has an
:class:`drivers.base.attachment.Attachment` with a :class:`Member` for a link, and what must be
agreed on the line is a :class:`Bus`: whose turn it is, whose an answer is.

Rules:

- A device that is reset (revoked, a fault of its driver's) loses its own link, not the line: the
  others' dialogues go on. A line that is lost is lost for all.
- While one of them is held back by the journal, the line is paused: it is the same journal for all.
- Nothing is sent for a device that has not asked for it: see the Bus.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from typing import ClassVar, Protocol

from drivers.base.attachment import Link
from drivers.transport.serial import LinkListener
from gateway.domain.ports import Carrier

REST_S = 1.0
"""Before a member that was reset is up again."""


class Bus(Protocol):
    """What is said on a line with several stations when, and to whom: without I/O.

    Memory is bounded whatever arrives, and nothing raises for it.
    """

    output: list[bytes]
    """To be sent, in order; whoever calls takes it and clears it after every call."""

    def opened(self) -> None:
        """The line is there anew."""

    def send(self, station: Hashable, data: bytes, now_s: float) -> bool:
        """A station is to be sent this, when it is its turn; False: it won't be."""

    def forget(self, station: Hashable, now_s: float) -> None:
        """Nothing more is said to the station until it is sent something again."""

    def receive(self, data: bytes, now_s: float) -> Iterable[tuple[Hashable, bytes]]:
        """Bytes of the line -> whose they are, in whole frames."""

    def deadline(self) -> float | None:
        """When :meth:`tick` is due, in monotonic seconds."""

    def tick(self, now_s: float) -> None:
        """Time has come, or a little earlier."""


class SharedLine:
    """The line; the listener of the real link."""

    def __init__(
        self,
        make_link: Callable[[LinkListener], Link],
        bus: Bus,
        monotonic: Callable[[], float],
        ended: Callable[[], object],
    ) -> None:
        """Keep the parts; opens nothing.

        Args:
            make_link: called once, with this object as the link's listener.
            bus: the line's.
            monotonic: seconds of a clock that never jumps.
            ended: called when the last member is gone: the line will not be used again.
        """
        self._link = make_link(self)
        self._bus = bus
        self._monotonic = monotonic
        self._ended = ended
        self._members: dict[Hashable, Member] = {}
        self._started = False
        self._timer: asyncio.TimerHandle | None = None
        self.up = False

    def member(self, station: Hashable, listener: LinkListener) -> Member:
        """The link of one station; opens nothing."""
        member = self._members[station] = Member(self, station, listener)
        return member

    # The real link's listener.

    def link_up(self) -> None:
        """Up for everybody."""
        self.up = True
        self._bus.opened()
        for member in tuple(self._members.values()):
            member.rise()

    def data_received(self, data: bytes) -> None:
        """Everything that came at once for one station is given to it at once."""
        found: dict[Hashable, bytearray] = {}
        for station, said in self._bus.receive(data, self._monotonic()):
            found.setdefault(station, bytearray()).extend(said)
        for station, gathered in found.items():
            member = self._members.get(station)
            if member is not None:
                member.hear(bytes(gathered))
        self._say()

    def link_lost(self, reason: str) -> None:
        """Lost for everybody."""
        self.up = False
        self._cancel_timer()
        for member in tuple(self._members.values()):
            member.fall(reason)

    # What members want.

    def join(self) -> None:
        """A member starts."""
        if not self._started:
            self._started = True
            self._link.start()

    def write(self, station: Hashable, data: bytes) -> bool:
        """See :meth:`Bus.send`."""
        taken = self._bus.send(station, data, self._monotonic())
        self._say()
        return taken

    def pause_or_resume(self) -> None:
        """A member has changed its mind."""
        if any(member.paused for member in self._members.values()):
            self._link.pause()
        else:
            self._link.resume()

    def reset(self, member: Member, reason: str) -> None:
        """Lose one member's link, or the line itself where nobody else has one."""
        others = (each for each in self._members.values() if each is not member)
        if any(each.live for each in others):
            self._forget(member.station)
            member.fall(reason)
            member.rise_later()
        else:
            self._link.reset(reason)

    async def leave(self, member: Member, grace_s: float) -> None:
        """A member ends; the line with the last one."""
        if self._members.get(member.station) is not member:
            return
        del self._members[member.station]
        self._forget(member.station)
        if self._members:
            self.pause_or_resume()
            return
        self._cancel_timer()
        self._ended()
        await self._link.stop(grace_s)

    def _forget(self, station: Hashable) -> None:
        self._bus.forget(station, self._monotonic())
        self._say()

    def _say(self) -> None:
        for data in self._bus.output:
            self._link.write(data)
        self._bus.output.clear()
        self._cancel_timer()
        due = self._bus.deadline()
        if self.up and due is not None:
            delay_s = max(0.0, due - self._monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_time)

    def _on_time(self) -> None:
        self._bus.tick(self._monotonic())
        self._say()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Member:
    """One station's link: see :class:`drivers.base.attachment.Link`."""

    carrier: ClassVar = Carrier.STREAM

    def __init__(self, line: SharedLine, station: Hashable, listener: LinkListener) -> None:
        self.station = station
        self.live = False
        """Whether the listener was told that the link is up."""
        self.paused = False
        self._line = line
        self._listener = listener
        self._started = False
        self._rest: asyncio.TimerHandle | None = None

    # What the line tells.

    def rise(self) -> None:
        """The line is up."""
        self._cancel_rest()
        if self._started and self._line.up and not self.live:
            self.live = True
            self._listener.link_up()

    def rise_later(self) -> None:
        """After a rest."""
        self._cancel_rest()
        self._rest = asyncio.get_running_loop().call_later(REST_S, self.rise)

    def hear(self, data: bytes) -> None:
        """It said something."""
        if self.live:
            self._listener.data_received(data)

    def fall(self, reason: str) -> None:
        """The link is lost."""
        self._cancel_rest()
        if self.live:
            self.live = False
            self._listener.link_lost(reason)

    # What its attachment wants.

    def start(self) -> None:
        """Begin to open the line, or join it."""
        self._started = True
        self._line.join()
        asyncio.get_running_loop().call_soon(self.rise)

    def write(self, data: bytes) -> bool:
        """Queue ``data``; False when the link is down, or it can't be sent."""
        return self.live and self._line.write(self.station, data)

    def pause(self) -> None:
        """Stop calling the listener; what arrives is kept up to a bound."""
        self.paused = True
        self._line.pause_or_resume()

    def resume(self) -> None:
        """Go on calling the listener, soon."""
        self.paused = False
        self._line.pause_or_resume()

    def reset(self, reason: str) -> None:
        """Close now, tell the listener, and open again after a rest."""
        self._line.reset(self, reason)

    async def stop(self, grace_s: float) -> None:
        """Leave the line, and close it as the last; idempotent."""
        self._started = self.live = self.paused = False
        self._cancel_rest()
        await self._line.leave(self, grace_s)

    def _cancel_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
