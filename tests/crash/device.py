"""A device that never gives up: MQTT 3.1.1 by hand, and a diary of what it was told.

It shares no code with the gateway, so that a mistake of the codec can't hide one of the driver.
Rules of the standard that it keeps: a persistent session, one packet identifier per unfinished
exchange, and after each reconnect PUBLISH and PUBREL again in their order ([MQTT-4.4.0-1],
[MQTT-4.6.0-1]).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

RECONNECT_S = 0.05
TICK_S = 0.01
CONNECT_S_MAX = 10.0
WINDOW = 64
"""Unfinished exchanges; far below the gateway's receive maximum."""
REPEATED = 200
"""A repetition is of one of so many last messages."""
ABP_LIMIT = 160
"""Cuff pressure above it raises an alarm at once, in the gateway's default limits."""


@dataclass(frozen=True)
class Message:
    """What a device says once; ``key`` tells it from all others of the device."""

    key: str
    kind: str
    payload: bytes
    qos: int


@dataclass(frozen=True)
class Habit:
    """What a device sends."""

    kind: str = "vitals"
    qos: tuple[int, ...] = (1,)
    numbered: bool = True
    """With boot and n. Without them only a QoS 2 exchange is told from its repetition."""
    episode: int = 0
    """An alarm condition begins or ends after so many messages; 0 for none."""
    repeats: float = 0.0
    """Share of messages that are sent once more, long after they were acknowledged."""
    rate: float = 250.0
    """Messages per second."""


HABITS = (
    Habit(episode=7),
    Habit(qos=(2,), kind="drip", episode=5),
    Habit(qos=(2,), numbered=False),
    Habit(qos=(1, 2), repeats=0.1),
)
"""One of each: limits' alarms at QoS 1, a device's own alarms at QoS 2, exchanges as the only
identity, and everything mixed with repetitions."""


@dataclass
class Diary:
    """What a device sent and was told: one side of the account."""

    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    """PUBACK or PUBREC came: it is the gateway's now."""
    episodes: int = 0
    connects: int = 0
    forgotten_sessions: int = 0
    """CONNACKs that knew nothing of a session that an earlier CONNACK had begun."""


class Script:
    """Makes a device's messages."""

    def __init__(self, habit: Habit, boot: str, diary: Diary) -> None:
        self.habit = habit
        self._boot = boot
        self._diary = diary
        self._n = 0
        self._t_ms = 0
        self._alarming = False

    def next(self, *, calm: bool = False) -> Message:
        """The next message; a calm one ends what alarm there is."""
        habit = self.habit
        self._n += 1
        self._t_ms = max(time.time_ns() // 1_000_000, self._t_ms + 1)
        body: dict[str, object] = {"v": 1, "t": self._t_ms}
        key = str(self._t_ms * 1000)
        if habit.numbered:
            key = f"{self._boot}:{self._n}"
            body |= {"boot": self._boot, "n": self._n}
        if habit.episode:
            before = self._alarming
            self._alarming = not calm and (self._n // habit.episode) % 2 == 1
            self._diary.episodes += self._alarming and not before
        if habit.kind == "drip":
            body["alarms"] = ["bubble"] if self._alarming else []
        else:
            body |= {"hr": 72, "nibp_sys": ABP_LIMIT + 20 if self._alarming else ABP_LIMIT - 40}
        qos = habit.qos[self._n % len(habit.qos)]
        self._diary.sent.add(key)
        return Message(key, habit.kind, json.dumps(body).encode(), qos)


@dataclass
class Exchange:
    """An unfinished one."""

    message: Message
    sent: bool = False
    released: bool = False


class Device:
    """One device's life: :meth:`run` until :meth:`finish`."""

    def __init__(
        self, device_id: str, tls: ssl.SSLContext, port: int, habit: Habit, random: Random
    ) -> None:
        self.device_id = device_id
        self.habit = habit
        self.diary = Diary()
        self.script = Script(habit, f"{random.getrandbits(32):08x}", self.diary)
        self._tls = tls
        self._port = port
        self._random = random
        self._open: dict[int, Exchange] = {}
        self._pid = 0
        self._writer: asyncio.StreamWriter | None = None
        self._done: deque[Message] = deque(maxlen=REPEATED)
        self._finishing = False
        self._idle = asyncio.Event()
        self.deaf = False
        """Hears nothing until the next connection: answers that are lost on the way."""

    @property
    def unfinished(self) -> int:
        """Exchanges that the gateway has not ended yet."""
        return len(self._open)

    async def run(self) -> None:
        """Connect, talk, connect again, until cancelled."""
        sending = asyncio.create_task(self._send())
        try:
            while True:
                with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                    await self._live()
                self._hang_up()
                await asyncio.sleep(RECONNECT_S)
        finally:
            sending.cancel()
            self._hang_up()

    async def finish(self) -> None:
        """Say one last calm thing, then wait until the gateway has answered everything."""
        self._finishing = True
        self._idle.clear()
        self._start(self.script.next(calm=True))
        await self._idle.wait()

    async def say(self, message: Message) -> None:
        """Send one message and wait for the end of its exchange; for devices that don't run."""
        self._idle.clear()
        self._start(message)
        await self._idle.wait()

    # The connection

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
        """Lose the connection, and come again."""
        self._hang_up()

    def _hang_up(self) -> None:
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
            self.diary.acknowledged.add(exchange.message.key)
            exchange.released = True
            self._write(pid, exchange)
            return
        if kind == 4:
            self.diary.acknowledged.add(exchange.message.key)
        elif kind != 7 or not exchange.released:
            raise ConnectionError(f"unexpected: {packet.hex()}")
        del self._open[pid]
        self._done.append(exchange.message)
        if not self._open:
            self._idle.set()

    # Sending

    async def _send(self) -> None:
        due = 0.0
        for _ in self._ticks():
            await asyncio.sleep(TICK_S)
            due = min(due + self.habit.rate * TICK_S, WINDOW)
            while due >= 1 and not self._finishing and len(self._open) < WINDOW:
                due -= 1
                if self._done and self._random.random() < self.habit.repeats:
                    self._start(self._random.choice(self._done))
                else:
                    self._start(self.script.next())

    def _ticks(self) -> Iterator[None]:
        while not self._finishing:
            yield

    def _start(self, message: Message) -> None:
        while True:
            self._pid = self._pid % 0xFFFF + 1
            if self._pid not in self._open:
                break
        exchange = self._open[self._pid] = Exchange(message)
        self._write(self._pid, exchange)

    def _write(self, pid: int, exchange: Exchange) -> None:
        if self._writer is None or self._writer.is_closing():
            return
        number = pid.to_bytes(2, "big")
        if exchange.released:
            self._writer.write(b"\x62\2" + number)
            return
        message = exchange.message
        topic = f"devices/{self.device_id}/{message.kind}".encode()
        body = len(topic).to_bytes(2, "big") + topic + number + message.payload
        flags = 0x30 | message.qos << 1 | exchange.sent << 3
        exchange.sent = True
        size = len(body)
        length = bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7))
        self._writer.write(bytes((flags,)) + length + body)
