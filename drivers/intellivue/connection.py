"""One monitor on one port: link, frames, session, mapping, submissions.

Rules:

- A monitor has no certificate: the configuration binds a port to a device id, the gateway
  attests it (Attestation.PORT, attested by the port), and admission is asked each time the link
  comes up. Nothing is sent to a port whose device is not admitted, and nothing it says is kept.
- The protocol numbers nothing across restarts and acknowledges nothing, so reports carry no
  message id: at least once, durable within the commit's linger. Every span in which something
  may have been lost (link, association, refused submission) becomes a Gap once data flows again.
  When the monitor was last heard is committed with its records, so that the gateway's own absence,
  planned or not, becomes a Gap too.
- While the journal is behind, the link is paused; its queue is bounded, and overflow is a link
  loss. The monitor is kept alive meanwhile, and its silence means nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial

import msgspec

from drivers.intellivue import framing, messages
from drivers.intellivue.clock import MonitorClock
from drivers.intellivue.config import MonitorPort
from drivers.intellivue.framing import Damage, FrameDecoder
from drivers.intellivue.mapping import Mapper
from drivers.intellivue.messages import PollReply
from drivers.intellivue.session import Attached, Detached, Event, Polled, Session
from drivers.intellivue.table import Phase
from drivers.transport.serial import SerialLimits, SerialLink
from gateway.domain.devices import Device, PortCredential
from gateway.domain.errors import MalformedError, RefusedError
from gateway.domain.ports import Outcome, Ports, StateDelta, Submission
from gateway.domain.records import (
    AlarmSnapshot,
    Attestation,
    DeviceState,
    DeviceStatus,
    Gap,
    Provenance,
    Record,
)

log = logging.getLogger(__name__)

NAME = "intellivue"
ADMISSION_RETRY_S = 30.0
"""After a refusal: a suspended monitor comes back by itself, an unknown one fills no audit log."""
LEAVE_SHARE = 0.5
"""Of the grace of ``stop``, for the monitor's answer to the release."""

HEARD = "intellivue.heard"
"""State space: device id -> when its last committed records were received, 8 bytes, big-endian."""

Records = list[Record | AlarmSnapshot]


class MonitorConnection:
    """The listener of a SerialLink, and the LiveSession that admission can kill."""

    def __init__(
        self,
        config: MonitorPort,
        ports: Ports,
        rng: random.Random,
        changed: Callable[[], None],
        limits: SerialLimits = SerialLimits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        self.config = config
        self._ports = ports
        self._changed = changed
        self._link = SerialLink(config.settings(), self, rng, limits)
        self._session = Session(config.times(), rng)
        self._frames = FrameDecoder()
        self._provenance = Provenance(NAME, Attestation.PORT, config.port)
        self._clock = MonitorClock(config.zone())
        self._device: Device | None = None
        self._mapper: Mapper | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._counted = (0, 0)
        self._heard_us = int.from_bytes(ports.state.items(HEARD).get(config.device_id, b""), "big")
        """When the last reply came: where a Gap begins."""
        self._gap_reason = "gateway_stopped" if self._heard_us else ""
        self._link_reason = ""
        self._refused: Gap | None = None
        self._left = asyncio.Event()
        self._left.set()

    @property
    def attached(self) -> bool:
        """Whether the monitor is being polled."""
        return self._session.phase is Phase.POLLING

    def start(self) -> None:
        """Begin to open the port."""
        self._link.start()

    async def stop(self, grace_s: float) -> None:
        """Release the association, close the port; idempotent."""
        self._act(self._session.stop(self._now()))
        try:
            async with asyncio.timeout(grace_s * LEAVE_SHARE):
                await self._left.wait()
        except TimeoutError:
            log.info("monitor %s did not answer the release", self.config.device_id)
        await self._link.stop(grace_s * (1 - LEAVE_SHARE))
        self._leave()

    def kill(self, reason: str) -> None:
        """Revoked or suspended: drop the link; admission is asked again when it is back."""
        self._link.reset(reason)

    # The link's listener.

    def link_up(self) -> None:
        """Ask for admission; if it is given, begin the association."""
        try:
            self._device = self._ports.admission.admit(
                PortCredential(self.config.device_id, self.config.port), self
            )
        except RefusedError as refused:
            log.warning("monitor %s is not admitted: %s", self.config.device_id, refused.reason)
            self._set_timer(ADMISSION_RETRY_S, self.link_up)
            return
        self._frames = FrameDecoder()
        self._mapper = Mapper(self._device, self._provenance, self._clock)
        self._counted = (self._session.incomplete, 0)
        self._act(self._session.link_up(self._now()))

    def data_received(self, data: bytes) -> None:
        """Decode, map, submit: everything that came at once is one submission."""
        if self._device is None:
            return
        records: Records = []
        for found in self._frames.feed(data):
            if isinstance(found, Damage):
                self._malformed(found.reason, found.sample)
                continue
            try:
                message = messages.decode(found)
            except MalformedError as error:
                self._malformed(error.reason, found)
                continue
            records += self._records(self._session.receive(message, self._now()))
            self._say()
        self._submit(records)
        self._reschedule()

    def link_lost(self, reason: str) -> None:
        """The port is gone; the link opens it again."""
        self._ports.counters.add("link_losses", NAME)
        self._link_reason = reason
        self._act(self._session.link_down(self._now()))
        self._link_reason = ""
        self._leave()

    def _leave(self) -> None:
        self._cancel_timer()
        if self._device is not None:
            self._device = None
            self._ports.admission.leave(self)

    # The session's events.

    def _act(self, events: list[Event]) -> None:
        self._submit(self._records(events))
        self._say()
        self._reschedule()

    def _records(self, events: list[Event]) -> Records:
        records: Records = []
        for event in events:
            match event:
                case Attached(attributes):
                    assert self._mapper is not None
                    self._mapper.anchor(attributes)
                    log.info("monitor %s attached on %s", self.config.device_id, self.config.port)
                    records.append(self._status(DeviceState.ONLINE, "connected"))
                    self._changed()
                case Detached(reason, attached):
                    if attached:
                        reason = self._link_reason or reason
                        log.warning("monitor %s detached: %s", self.config.device_id, reason)
                        records.append(self._status(DeviceState.OFFLINE, reason))
                        self._gap_reason = reason
                        self._changed()
                case Polled(reply):
                    records += self._polled(reply)
        return records

    def _polled(self, reply: PollReply) -> Records:
        assert self._mapper is not None
        now_us = self._ports.clock.now_us()
        records = self._mapper.records(reply, now_us)
        self._count_losses()
        if records:
            if self._gap_reason:
                records.insert(0, self._gap(self._gap_reason, self._heard_us, now_us))
                self._gap_reason = ""
            self._heard_us = now_us
        return records

    def _count_losses(self) -> None:
        assert self._mapper is not None
        incomplete, unmapped = self._session.incomplete, self._mapper.unmapped
        if (incomplete, unmapped) != self._counted:
            add = self._ports.counters.add
            add("malformed", NAME, "incomplete", n=incomplete - self._counted[0])
            add("malformed", NAME, "unknown_metric", n=unmapped - self._counted[1])
            self._counted = incomplete, unmapped

    def _say(self) -> None:
        for payload in self._session.output:
            if not self._link.write(framing.encode(payload)):
                log.info("monitor %s: nothing can be sent", self.config.device_id)
        self._session.output.clear()
        if self._session.phase is Phase.OFFLINE:
            self._left.set()
        else:
            self._left.clear()

    # Records and the sink.

    def _submit(self, records: Records) -> None:
        if not records:
            return
        now_us = self._ports.clock.now_us()
        heard = StateDelta(HEARD, self.config.device_id, self._heard_us.to_bytes(8, "big"))
        self._ports.sink.submit(
            Submission(records, partial(self._settled, now_us, len(records)), (heard,))
        )
        if not self._paused and not self._ports.sink.writable():
            self._paused = True
            self._link.pause()
            self._ports.sink.when_writable(self._go_on)

    def _go_on(self) -> None:
        self._paused = False
        self._link.resume()

    def _settled(self, at_us: int, count: int, outcome: Outcome) -> None:
        if outcome is not Outcome.COMMITTED:
            self._ports.counters.add("not_taken", outcome.value, n=count)
            begun = self._refused or self._gap("not_taken", at_us, at_us)
            self._refused = msgspec.structs.replace(
                begun, to_us=at_us, reports=begun.reports + count
            )
        elif self._refused is not None:
            gap, self._refused = self._refused, None
            self._ports.sink.submit(Submission([gap], partial(self._gap_settled, gap)))

    def _gap_settled(self, gap: Gap, outcome: Outcome) -> None:
        """A Gap that was refused itself waits for the next commit, joined with what followed."""
        if outcome is not Outcome.COMMITTED:
            later = self._refused
            self._refused = (
                gap
                if later is None
                else msgspec.structs.replace(
                    later, from_us=gap.from_us, reports=gap.reports + later.reports
                )
            )

    def _gap(self, reason: str, from_us: int, to_us: int) -> Gap:
        return Gap(reason, self.config.device_id, from_us=from_us or to_us, to_us=to_us)

    def _status(self, state: DeviceState, reason: str) -> DeviceStatus:
        kind = self._device.kind if self._device is not None else ""
        return DeviceStatus(
            self.config.device_id,
            kind or "monitor",
            self._provenance,
            self._ports.clock.now_us(),
            state,
            reason,
        )

    def _malformed(self, reason: str, sample: bytes) -> None:
        self._ports.counters.add("malformed", NAME, reason)
        self._ports.aside.keep(self.config.device_id, NAME, reason, sample)

    # Time.

    def _now(self) -> float:
        return self._ports.clock.monotonic()

    def _reschedule(self) -> None:
        deadline = self._session.deadline()
        if deadline is None:
            self._cancel_timer()
        else:
            self._set_timer(max(0.0, deadline - self._now()), self._on_time)

    def _on_time(self) -> None:
        if self._paused:
            self._session.excuse(self._now())
        self._act(self._session.tick(self._now()))

    def _set_timer(self, delay_s: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(delay_s, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
