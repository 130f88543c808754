"""One device on one link that the configuration binds to it.

Rules:

- The configuration binds a port to a device id, and admission is asked each time the link comes
  up: with what the gateway attests, or with the certificate that the other end has shown. Nothing
  is sent to a port whose device is not admitted, and nothing it says is kept.
- These protocols number nothing across restarts and acknowledge nothing, so reports carry no
  message id: at least once, durable within the commit's linger. Every span in which something
  may have been lost (link, dialogue, refused submission) becomes a Gap once data flows again.
  When the device was last heard is committed with its records, so that the gateway's own absence,
  planned or not, becomes a Gap too.
- While the journal is behind, the link is paused; its queue is bounded, and overflow is a link
  loss. The dialogue is kept alive meanwhile, and the device's silence means nothing. Nor does it
  while the gateway itself stands still: what lies in the socket is heard first.
- A fault of the driver's own costs its link, which is opened anew, and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, assert_never

from drivers.base.dialogue import (
    Dialogue,
    Event,
    HangUp,
    Malformed,
    Missed,
    Moment,
    Offline,
    Online,
    Said,
)
from drivers.base.untaken import Untaken
from drivers.transport.serial import LinkListener
from gateway.domain import ports as domain
from gateway.domain.devices import Credential, Device
from gateway.domain.errors import RefusedError
from gateway.domain.ports import Carrier, Ports, StateDelta, Submission, Tap, Tapped
from gateway.domain.records import DeviceState, DeviceStatus, Gap, Provenance

log = logging.getLogger(__name__)

ADMISSION_RETRY_S = 30.0
"""After a refusal: a suspended device comes back by itself, an unknown one fills no audit log."""
WAIT_S_MIN = 0.005
"""Between two ticks: a dialogue whose deadline stays in the past must not keep the loop busy."""
LATE_S = 0.5
"""A timer that comes so late was kept waiting by us: the machine stood still, or the loop did."""
LISTEN_S = 0.05
"""Then what the device has said meanwhile is heard, once, before it counts as silent."""
LEAVE_SHARE = 0.5
"""Of the grace of ``stop``, for the device's answer to our goodbye."""

Records = list[domain.Said]


class Link(Protocol):
    """Bytes or datagrams both ways, opened again for ever: a SerialLink, or one like it."""

    @property
    def carrier(self) -> Carrier:
        """Which of the two."""

    def start(self) -> None:
        """Begin to open; once."""

    def write(self, data: bytes) -> bool:
        """Queue ``data``; False when the link is down or too much is queued already."""

    def pause(self) -> None:
        """Stop calling the listener; what arrives is kept up to a bound."""

    def resume(self) -> None:
        """Go on calling the listener, soon."""

    def reset(self, reason: str) -> None:
        """Close now, tell the listener, and open again after a rest."""

    async def stop(self, grace_s: float) -> None:
        """Write what is queued and close within ``grace_s``; idempotent."""


class Binding(NamedTuple):
    """Who is at the other end, and how that is known."""

    device_id: str
    kind: str
    """What the device is where the registry doesn't say: ``monitor``, ``ventilator``, …"""
    credential: Credential | Callable[[], Credential]
    """A function is asked each time the link has come up."""
    provenance: Provenance
    """Its ``driver`` is the name of the driver in metrics, samples and state."""
    exclusive: bool = False
    """The device talks to one at a time: while it is not admitted, nobody holds its place."""


DialogueFactory = Callable[[Device], Dialogue]
"""Makes the dialogue of one opening, for the admitted device."""


class Attachment:
    """The listener of a link, and the LiveSession that admission can kill."""

    def __init__(
        self,
        binding: Binding,
        make_link: Callable[[LinkListener], Link],
        make_dialogue: DialogueFactory,
        ports: Ports,
        changed: Callable[[], None],
    ) -> None:
        """Keep the parts; opens nothing.

        Args:
            binding: the device.
            make_link: called once, with this object as the link's listener.
            make_dialogue: see :data:`DialogueFactory`.
            ports: the gateway's.
            changed: called whenever ``online`` has changed.
        """
        self._binding = binding
        self._driver = binding.provenance.driver
        self._ports = ports
        self._changed = changed
        self._make_dialogue = make_dialogue
        self._link = make_link(self)
        self._dialogue: Dialogue | None = None
        self._device: Device | None = None
        self._online = False
        self._tap: Tap | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._heard_space = f"{self._driver}.heard"
        """State space: device id -> when its last committed records were received, 8 bytes."""
        heard = ports.state.items(self._heard_space).get(binding.device_id, b"")
        self._heard_us = int.from_bytes(heard, "big")
        """When the last records came: where a Gap begins."""
        self._gap_reason = "gateway_stopped" if self._heard_us else ""
        self._untaken = Untaken(binding.device_id, ports)
        self._left = asyncio.Event()

    @property
    def online(self) -> bool:
        """Whether the device is there and speaks."""
        return self._online

    def start(self) -> None:
        """Begin to open the link."""
        self._link.start()

    async def stop(self, grace_s: float) -> None:
        """Say goodbye, close the link; idempotent."""
        dialogue = self._dialogue
        if dialogue is not None:
            self._safely(dialogue.leave)
            try:
                async with asyncio.timeout(grace_s * LEAVE_SHARE):
                    while self._dialogue is dialogue and not dialogue.left:
                        self._left.clear()
                        await self._left.wait()
            except TimeoutError:
                log.info("%s did not answer our goodbye", self._binding.device_id)
        await self._link.stop(grace_s * (1 - LEAVE_SHARE))
        records: Records = []
        self._turn("stopped", records, self._now().wall_us, online=False)
        self._submit(records)
        self._leave()

    def kill(self, reason: str) -> None:
        """Revoked or suspended: drop the link; admission is asked again when it is back."""
        self._link.reset(reason)

    def use_tap(self, tap: Tap | None) -> Tapped:
        """See :class:`gateway.domain.ports.Tappable`."""
        self._tap = tap
        return Tapped(self._link.carrier, asked=True)

    # The link's listener.

    def link_up(self) -> None:
        """Ask for admission; if it is given, begin."""
        try:
            known = self._binding.credential
            credential = known() if callable(known) else known
            self._device = self._ports.admission.admit(credential, self)
        except RefusedError as refused:
            log.warning("%s is not admitted: %s", self._binding.device_id, refused.reason)
            if self._binding.exclusive:
                self._link.reset("not_admitted")
            else:
                self._set_timer(ADMISSION_RETRY_S, self.link_up)
            return
        self._dialogue = self._make_dialogue(self._device)
        self._safely(self._dialogue.begin)

    def data_received(self, data: bytes) -> None:
        """Everything that came at once is one submission."""
        if self._tap is not None:
            self._tap.received(data)
        if self._dialogue is not None:
            self._safely(partial(self._dialogue.receive, data))

    def link_lost(self, reason: str) -> None:
        """The link is gone; it opens itself again."""
        self._ports.counters.add("link_losses", self._driver)
        if self._dialogue is not None:
            dialogue, self._dialogue = self._dialogue, None
            self._safely(dialogue.link_down, closing=reason)
        self._leave()

    def _leave(self) -> None:
        self._cancel_timer()
        self._dialogue = None
        self._left.set()
        if self._device is not None:
            self._device = None
            self._ports.admission.leave(self)

    # The dialogue and its events.

    def _safely(self, step: Callable[[Moment], Iterable[Event]], closing: str = "") -> None:
        """Take a step of the dialogue; what it brings goes where it belongs.

        ``closing`` is why the link is gone, if it is: that is why the device is offline then,
        whatever the dialogue says.
        """
        now = self._now()
        records: Records = []
        reset = ""
        try:
            for event in step(now):
                if isinstance(event, HangUp):
                    reset = event.reason
                else:
                    self._take(event, records, closing, now.wall_us)
        # The boundary to a driver's own code, perhaps a third party's. A fault in a callback of
        # the link's would silence its port for ever; so it costs the link, which comes back.
        except Exception:
            log.exception("%s: a fault of driver %s", self._binding.device_id, self._driver)
            self._ports.counters.add("malformed", self._driver, "fault")
            reset = "fault"
        if closing:
            self._turn(closing, records, now.wall_us, online=False)
        self._submit(records)
        if reset and not closing:
            self._link.reset(reset)
            return
        self._say()
        self._reschedule()

    def _take(
        self,
        event: Online | Offline | Said | Malformed | Missed,
        records: Records,
        closing: str,
        now_us: int,
    ) -> None:
        match event:
            case Said(said) if closing:
                records += said  # of the dialogue's own: the device was heard before, not now
            case Said(said):
                self._frame(said, records, now_us)
            case Online(reason):
                log.info("%s is online", self._binding.device_id)
                self._turn(reason, records, now_us, online=True)
            case Offline(reason):
                self._turn(closing or reason, records, now_us, online=False)
            case Malformed(reason, sample):
                self._ports.counters.add("malformed", self._driver, reason)
                self._ports.aside.keep(self._binding.device_id, self._driver, reason, sample)
            case Missed(reason, times):
                self._ports.counters.add("malformed", self._driver, reason, n=times)
            case _:
                assert_never(event)

    def _turn(self, reason: str, records: Records, now_us: int, *, online: bool) -> None:
        """Add the status that follows from a change; none when it is known."""
        if online is self._online:
            return
        self._online = online
        if not online:
            log.warning("%s is offline: %s", self._binding.device_id, reason)
            self._gap_reason = reason
        self._changed()
        kind = self._device.kind if self._device is not None else ""
        records.append(
            DeviceStatus(
                self._binding.device_id,
                kind or self._binding.kind,
                self._binding.provenance,
                now_us,
                DeviceState.ONLINE if online else DeviceState.OFFLINE,
                reason,
            )
        )

    def _frame(self, said: Sequence[domain.Said], records: Records, now_us: int) -> None:
        """Add what was said, behind the Gap that is before it."""
        if not said:
            return
        if self._gap_reason:
            records.append(self._gap(self._gap_reason, self._heard_us, now_us))
            self._gap_reason = ""
        self._heard_us = now_us
        records += said

    def _say(self) -> None:
        dialogue = self._dialogue
        if dialogue is None:
            return
        for data in dialogue.output:
            if not self._link.write(data):
                log.info("%s: nothing can be sent", self._binding.device_id)
            elif self._tap is not None:
                self._tap.sent(data)
        dialogue.output.clear()
        if dialogue.left:
            self._left.set()

    # Records and the sink.

    def _submit(self, records: Records) -> None:
        if not records:
            return
        now_us = self._ports.clock.now_us()
        heard_us = self._heard_us.to_bytes(8, "big")
        delta = StateDelta(self._heard_space, self._binding.device_id, heard_us)
        self._ports.sink.submit(
            Submission(records, partial(self._untaken.settled, now_us, len(records)), (delta,))
        )
        if not self._paused and not self._ports.sink.writable():
            self._paused = True
            self._link.pause()
            self._ports.sink.when_writable(self._go_on)

    def _go_on(self) -> None:
        self._paused = False
        self._link.resume()

    def _gap(self, reason: str, from_us: int, to_us: int) -> Gap:
        return Gap(reason, self._binding.device_id, from_us=from_us or to_us, to_us=to_us)

    # Time.

    def _now(self) -> Moment:
        return Moment(self._ports.clock.monotonic(), self._ports.clock.now_us())

    def _reschedule(self) -> None:
        deadline = self._dialogue.deadline() if self._dialogue is not None else None
        if deadline is None:
            self._cancel_timer()
        else:
            delay_s = max(WAIT_S_MIN, deadline - self._ports.clock.monotonic())
            self._set_timer(delay_s, self._on_time)

    def _on_time(self) -> None:
        if self._late():
            self._set_timer(LISTEN_S, self._tick)
            return
        self._tick()

    def _tick(self) -> None:
        dialogue = self._dialogue
        if dialogue is None:
            return
        if self._paused:
            dialogue.excuse(self._now())
        self._safely(dialogue.tick)

    def _late(self) -> bool:
        timer = self._timer
        return timer is not None and asyncio.get_running_loop().time() > timer.when() + LATE_S

    def _set_timer(self, delay_s: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_s, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
