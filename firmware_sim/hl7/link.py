"""A ward's device as an HL7 sender: the DeviceLink of that transport.

Rules:

- One message is on its way at a time, as MLLP senders have it. The answer must name its MSH-10; an
  answer that does not come in time ends the connection, and the message is sent again on the next.
- CA and AA end a message, CR and AR too; CE and AE are waited out.
- The link is up when the gateway has accepted the device's own status: in TLS 1.3 a client learns
  only then that its certificate is refused.
- A heart rate above the limit is an alarm of the device's own: it is sent apart, start and end.
- A pump's message becomes several: its events, the infusion, what changed among its alarms.

The TLS context is given: which certificate it shows, if any, is what a simulated thief plays with.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from drivers.bedside.codec import Vitals, decode_cbor, decode_json
from firmware_sim.hl7 import messages, pump
from firmware_sim.hl7.messages import Sender
from firmware_sim.hl7.pump import PUMP, PumpMessage
from firmware_sim.hl7.pump_messages import PumpTeller
from firmware_sim.link import Outcome
from firmware_sim.mqtt import backoff_s
from gateway.domain.errors import MalformedError

CONNECT_S_MAX: Final = 15.0
ANSWER_S_MAX: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024
HIGH_PER_MIN: Final = 150.0
START, END = b"\x0b", b"\x1c\r"


class Settings(NamedTuple):
    """How one device speaks HL7."""

    sender: Sender
    host: str
    port: int
    tls: ssl.SSLContext | None
    now_us: Callable[[], int]


class Hl7Link:
    """See :class:`firmware_sim.link.DeviceLink`."""

    def __init__(self, settings: Settings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._turn = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._closed = False
        self._in_alarm = False
        self._teller = PumpTeller(settings.sender)
        self._waiting: set[asyncio.Task[object]] = set()
        self.connects = 0
        """How often the link came up."""

    async def connect(self) -> None:
        """See :meth:`DeviceLink.connect`."""
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await self._open()
        except BaseException:
            await self._hang_up()
            raise

    async def send(self, kind: str, payload: bytes, message_id: str) -> Outcome:
        """See :meth:`DeviceLink.send`; what is no message goes out as it is, or beside a frame."""
        if kind == PUMP and (told := pump.decode(payload)) is not None:
            return await self._pump(told, message_id)
        try:
            message = (decode_json if payload[:1] == b"{" else decode_cbor)(kind, payload)
        except MalformedError:
            return await self._say(self._garbage(payload), "", once=True)
        if not isinstance(message, Vitals):
            return Outcome.REFUSED
        at_us = self._settings.now_us() if message.t is None else message.t * 1000
        sender = self._settings.sender
        outcome = await self._say(
            _frame(messages.observations(sender, message, message_id, at_us)), message_id
        )
        await self._alarm(message, message_id, at_us)
        return outcome

    async def trespass(self, device_id: str, kind: str, payload: bytes) -> Outcome:
        """Send once in another device's name."""
        message = decode_json(kind, payload)
        if not isinstance(message, Vitals):
            return Outcome.REFUSED
        control_id = f"{message.boot}:{message.n}"
        another = Sender(self._settings.sender.application, device_id)
        content = messages.observations(another, message, control_id, self._settings.now_us())
        return await self._say(_frame(content), control_id, once=True)

    def drop(self) -> None:
        """Break the connection off without a word."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def close(self) -> None:
        """See :meth:`DeviceLink.close`."""
        self._closed = True
        for task in self._waiting:
            task.cancel()
        await self._hang_up()

    # One message

    async def _pump(self, told: PumpMessage, message_id: str) -> Outcome:
        """Its messages in their order; what became of the infusion is what counts."""
        outcome = Outcome.GIVEN_UP
        for content, control_id in self._teller.messages(told, message_id):
            answered = await self._say(_frame(content), control_id)
            if control_id == message_id:
                outcome = answered
        return outcome

    async def _alarm(self, vitals: Vitals, message_id: str, at_us: int) -> None:
        high = vitals.hr is not None and vitals.hr > HIGH_PER_MIN
        if high is self._in_alarm or vitals.hr is None or self._closed:
            return
        self._in_alarm = high
        phase = "start" if high else "end"
        control_id = f"{message_id}.{phase}"
        content = messages.alarm(self._settings.sender, vitals, phase, control_id, at_us)
        await self._say(_frame(content), control_id)

    async def _say(self, data: bytes, control_id: str, *, once: bool = False) -> Outcome:
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            async with self._turn:
                return await self._until_answered(data, control_id, once=once)
        except asyncio.CancelledError:
            if self._closed and not task.uncancel():
                return Outcome.GIVEN_UP
            raise
        finally:
            self._waiting.discard(task)

    async def _until_answered(self, data: bytes, control_id: str, *, once: bool) -> Outcome:
        attempt = 0
        while not self._closed:
            try:
                async with asyncio.timeout(CONNECT_S_MAX):
                    if self._writer is None:
                        await self._open()
                    code = await self._exchange(data, control_id)
            except OSError:  # TimeoutError and ssl.SSLError are OSErrors
                await self._hang_up()
                if once:
                    return Outcome.GIVEN_UP
                code = ""
            if code[1:] == "A":
                return Outcome.ACKNOWLEDGED
            if code[1:] == "R" or once:
                return Outcome.REFUSED
            await asyncio.sleep(backoff_s(attempt, self._random))
            attempt += 1
        return Outcome.GIVEN_UP

    async def _exchange(self, data: bytes, control_id: str) -> str:
        """Send a message and read its answer: MSA-1.

        Raises:
            OSError: the connection ended, or the answer did not come or was another's.
        """
        reader, writer = self._reader, self._writer
        if reader is None or writer is None:
            raise ConnectionError("not connected")
        writer.write(data)
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                await writer.drain()
                answer = await reader.readuntil(END)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ConnectionError("the gateway closed the connection") from error
        for segment in answer[:-2].removeprefix(START).decode().split("\r"):
            name, *fields = segment.split("|")
            if name == "MSA":
                code, answered = (*fields, "", "")[:2]
                if answered != control_id:
                    raise ConnectionError("an answer to another message")
                return code
        raise ConnectionError("no acknowledgement")

    def _garbage(self, payload: bytes) -> bytes:
        noise = bytes(byte for byte in payload if byte not in (0x0B, 0x1C))
        if noise.strip(b"\r\n") and self._random.random() < 0.5:
            return noise  # outside of any frame
        return _frame(noise)

    # The connection

    async def _open(self) -> None:
        """Connect, and say hello.

        Raises:
            OSError: no connection, no trust, or the hello was refused.
        """
        settings = self._settings
        self._reader, self._writer = await asyncio.open_connection(
            settings.host, settings.port, ssl=settings.tls, limit=ANSWER_BYTES_MAX
        )
        now_us = settings.now_us()
        hello = f"hello-{now_us:x}"
        code = await self._exchange(_frame(messages.status(settings.sender, hello, now_us)), hello)
        if code != "CA":
            raise ConnectionError(f"the gateway answered {code}")
        self.connects += 1

    async def _hang_up(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()


def _frame(content: bytes) -> bytes:
    return START + content + END
