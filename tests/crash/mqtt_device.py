"""A device on MQTT 3.1.1, by hand.

Rules of the standard that it keeps: a persistent session, one packet identifier per unfinished
exchange, and after each reconnect PUBLISH and PUBREL again in their order ([MQTT-4.4.0-1],
[MQTT-4.6.0-1]).
"""

from __future__ import annotations

import asyncio
import ssl
from random import Random

from tests.crash.device import CONNECT_S_MAX, Device, Exchange, Habit


class MqttDevice(Device):
    """See :class:`tests.crash.device.Device`."""

    window = 64
    """Far below the gateway's receive maximum."""

    def __init__(
        self, device_id: str, tls: ssl.SSLContext, port: int, habit: Habit, random: Random
    ) -> None:
        super().__init__(device_id, habit, random)
        self._tls = tls
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def _live(self) -> None:
        async with asyncio.timeout(CONNECT_S_MAX):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._tls, server_hostname="localhost"
            )
            client = self.device_id.encode()
            body = b"\0\4MQTT\4\0\0\x3c" + len(client).to_bytes(2, "big") + client
            try:
                writer.write(b"\x10" + bytes((len(body),)) + body)
                connack = await reader.readexactly(4)
            except BaseException:
                writer.transport.abort()
                raise
        self._writer = writer
        if connack[:2] != b"\x20\2" or connack[3] != 0:
            raise ConnectionError(f"CONNACK {connack.hex()}")
        self.deaf = False
        present = bool(connack[2])
        self.diary.forgotten_sessions += bool(self.diary.connects) and not present
        self.diary.connects += 1
        for pid, exchange in self._open.items():
            self._write(pid, exchange)
        while True:
            answer = await reader.readexactly(4)
            if not self.deaf:
                self._received(answer)

    def break_off(self) -> None:
        """See :meth:`Device.break_off`."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    def _received(self, packet: bytes) -> None:
        pid = int.from_bytes(packet[2:], "big")
        exchange = self._open.get(pid)
        if exchange is None:
            raise ConnectionError(f"an answer to nothing: {packet.hex()}")
        kind = packet[0] >> 4
        if kind == 5:
            self._acknowledged(exchange)
            exchange.released = True
            self._write(pid, exchange)
            return
        if kind == 4:
            self._acknowledged(exchange)
        elif kind != 7 or not exchange.released:
            raise ConnectionError(f"unexpected: {packet.hex()}")
        self._end(pid)

    def _write(self, number: int, exchange: Exchange) -> None:
        if self._writer is None or self._writer.is_closing():
            return
        pid = number.to_bytes(2, "big")
        if exchange.released:
            self._writer.write(b"\x62\2" + pid)
            return
        message = exchange.message
        topic = f"devices/{self.device_id}/{message.kind}".encode()
        body = len(topic).to_bytes(2, "big") + topic + pid + message.payload
        flags = 0x30 | message.qos << 1 | exchange.sent << 3
        exchange.sent = True
        size = len(body)
        length = bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7))
        self._writer.write(bytes((flags,)) + length + body)
