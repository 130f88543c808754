"""A simulated monitor on a network: UDP, connect indications, what a network does to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from firmware_sim.intellivue import encode
from firmware_sim.intellivue.monitor import Monitor, SentReply
from firmware_sim.intellivue.screen import Screen
from gateway.domain.ports import Clock

TICK_S = 0.05
INDICATE_EVERY_S = 2.0


class LanMonitor:
    """A monitor on a UDP port.

    Args:
        address: where it is; port 0 takes a free one.
        screen: what it shows, asked for each reply.
        clock: the monitor's.
        indicate_to: where its connect indications go, instead of to everybody; None: nowhere.
        on_sent: told of every reply with numerics.
        bed: its bed label.
    """

    def __init__(
        self,
        address: tuple[str, int],
        screen: Callable[[], Screen],
        clock: Clock,
        indicate_to: tuple[str, int] | None = None,
        on_sent: Callable[[SentReply], None] | None = None,
        bed: str = "",
    ) -> None:
        self.address = address
        self.monitor = Monitor(screen, clock, bed)
        self._indicate_to = indicate_to
        self._on_sent = on_sent
        self._transport: asyncio.DatagramTransport | None = None
        self._client: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._indicate_due = 0.0
        self._sent = 0
        self._held: bytes | None = None
        # Faults of the network, which may be switched at any time.
        self.lose_every = 0
        """Loses one datagram in so many; 0 loses none."""
        self.repeat_every = 0
        """Sends one in so many twice."""
        self.swap_every = 0
        """Sends one in so many behind the one that follows it."""
        self.silent = False
        """Says nothing at all, but hears."""

    async def start(self) -> None:
        """Switch on.

        Raises:
            OSError: the address can't be had.
        """
        made, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Socket(self), local_addr=self.address
        )
        self._transport = made
        self.address = self._transport.get_extra_info("sockname")[:2]
        self._tick()

    def close(self) -> None:
        """Switch off, in order: whoever has the association is told; idempotent."""
        if not self.monitor.alone and not self.silent:
            self._send(encode.ABORT, self._client)
        self.monitor.unplugged()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def show(self) -> bool:
        """Reply with what the screen shows now; False when no reply with numerics was sent."""
        payloads = self.monitor.show()
        written = bool(self.monitor.sent) and not self.silent
        self._say(payloads)
        return written

    def garbage(self, noise: bytes) -> None:
        """Send what nobody meant."""
        self._send(noise, self._client)

    def received(self, data: bytes, client: object) -> None:
        """A datagram from a client; the monitor speaks to whoever spoke last."""
        self._client = client
        self._say(self.monitor.receive(data))

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._say(self.monitor.tick())
        if self.monitor.alone and not self.silent and loop.time() >= self._indicate_due:
            self._indicate_due = loop.time() + INDICATE_EVERY_S
            indication = encode.connect_indication(self.monitor.system_id, self.address[0])
            self._send(indication, self._indicate_to)
        self._timer = loop.call_later(TICK_S, self._tick)

    def _say(self, payloads: list[bytes]) -> None:
        if not self.silent:
            for payload in payloads:
                self._through_the_network(payload)
            if self._on_sent is not None:
                for reply in self.monitor.sent:
                    self._on_sent(reply)
        self.monitor.sent.clear()

    def _through_the_network(self, payload: bytes) -> None:
        self._sent += 1
        if self.lose_every and not self._sent % self.lose_every:
            return
        if self.swap_every and not self._sent % self.swap_every and self._held is None:
            self._held = payload
            return
        self._send(payload, self._client)
        if self.repeat_every and not self._sent % self.repeat_every:
            self._send(payload, self._client)
        if self._held is not None:
            held, self._held = self._held, None
            self._send(held, self._client)

    def _send(self, payload: bytes, to: object) -> None:
        if self._transport is not None and to is not None:
            self._transport.sendto(payload, cast("tuple[str, int]", to))


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, monitor: LanMonitor) -> None:
        self._monitor = monitor

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._monitor.received(data, addr)
