"""A device that never gives up, and a diary of what it was told.

What it says is the same on every transport. How, is the business of :mod:`tests.crash.mqtt_device`
and :mod:`tests.crash.coap_device`, which speak their protocols by hand and share no codec with the
gateway, so that a mistake of the codec can't hide one of the driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

RECONNECT_S = 0.05
TICK_S = 0.01
CONNECT_S_MAX = 10.0
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

    coap: bool = False
    """Over CoAP instead of MQTT, which ``qos`` is of."""
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
    Habit(coap=True, episode=7, repeats=0.1, rate=100.0),
    Habit(coap=True, kind="drip", episode=5, rate=100.0),
)
"""One of each: limits' alarms at QoS 1, a device's own alarms at QoS 2, exchanges as the only
identity, everything mixed with repetitions; and both sorts of alarms over CoAP."""


@dataclass
class Diary:
    """What a device sent and was told: one side of the account."""

    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    """PUBACK, PUBREC or 2.04 came: it is the gateway's now."""
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


class Device(ABC):
    """One device's life: :meth:`run` until :meth:`finish`."""

    window: int
    """Unfinished exchanges at once."""

    def __init__(self, device_id: str, habit: Habit, random: Random) -> None:
        self.device_id = device_id
        self.habit = habit
        self.diary = Diary()
        self.script = Script(habit, f"{random.getrandbits(32):08x}", self.diary)
        self.deaf = False
        """Hears nothing until the next connection: answers that are lost on the way."""
        self._random = random
        self._open: dict[int, Exchange] = {}
        self._number = 0
        self._done: deque[Message] = deque(maxlen=REPEATED)
        self._finishing = False
        self._idle = asyncio.Event()

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
                self.break_off()
                await asyncio.sleep(RECONNECT_S)
        finally:
            sending.cancel()
            self.break_off()

    async def finish(self) -> None:
        """Say one last calm thing, then wait until the gateway has answered everything."""
        self._finishing = True
        await self.say(self.script.next(calm=True))

    async def say(self, message: Message) -> None:
        """Send one message and wait for the end of all exchanges."""
        self._idle.clear()
        self._start(message)
        await self._idle.wait()

    @abstractmethod
    def break_off(self) -> None:
        """Lose the connection, and come again."""

    @abstractmethod
    async def _live(self) -> None:
        """One connection: send again what is unfinished, and hear, until it ends by an error."""

    @abstractmethod
    def _write(self, number: int, exchange: Exchange) -> None:
        """Send an exchange's next packet; nothing happens without a connection."""

    def _acknowledged(self, exchange: Exchange) -> None:
        self.diary.acknowledged.add(exchange.message.key)

    def _end(self, number: int) -> None:
        self._done.append(self._open.pop(number).message)
        if not self._open:
            self._idle.set()

    async def _send(self) -> None:
        due = 0.0
        for _ in self._ticks():
            await asyncio.sleep(TICK_S)
            due = min(due + self.habit.rate * TICK_S, self.window)
            while due >= 1 and not self._finishing and len(self._open) < self.window:
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
            self._number = self._number % 0xFFFF + 1
            if self._number not in self._open:
                break
        exchange = self._open[self._number] = Exchange(message)
        self._write(self._number, exchange)
