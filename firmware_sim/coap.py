"""The device's side of CoAP over DTLS: aiocoap on the project's transport.

Rules:

- A message is the device's until the gateway took it over (2.04): what got no answer is sent
  again, after a new handshake if need be, with the same payload and so the same message id.
- 5.03 is waited out as its Max-Age says; 4.xx ends the message.
- The link is up when the gateway answered a ping in the session: a gateway that refuses a
  device for more than its chain closes the session after the handshake.
- A session is given up when a confirmable message got no acknowledgement at all; then comes a
  new handshake. Reconnects back off exponentially with full jitter.
- Commands are observed anew on each session; their answers are posted one after the other.

The DTLS context is given: which certificate it shows, if any, is what a simulated thief plays with.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

import aiocoap
from aiocoap.numbers.codes import Code
from aiocoap.numbers.constants import TransportTuning
from cryptography import x509
from OpenSSL import SSL

from drivers.coap.endpoint import MessageInterface, Remote, attach
from drivers.transport.dtls.association import TIMEOUT, HandshakeError
from drivers.transport.dtls.client import DtlsClient
from drivers.transport.dtls.session import peer_name
from firmware_sim.link import Outcome

HANDSHAKE_S_MAX: Final = 15.0
BACKOFF_S_MIN: Final = 0.2
BACKOFF_S_MAX: Final = 10.0
RETRY_S_MAX: Final = 30.0
"""The longest Max-Age of a 5.03 that is waited for."""
BLOCK_BYTES: Final = 1024
"""Longer payloads go block-wise."""
ACK_TIMEOUT_S: Final = 1.0
"""The least that RFC 7252, 4.8.1 allows without knowing the network."""
PINGS_MAX: Final = 3
PING_S: Final = 2.0
_PING, _PONG = b"\x40\x00\x00\x00", b"\x70\x00\x00\x00"
JSON: Final = 50
CBOR: Final = 60

CommandHandler = Callable[[bytes], bytes]
"""Payload of a command -> payload of its result."""


class _Reliable(TransportTuning):  # type: ignore[misc]  # the library has no types
    """A device that notices a restarted gateway within ten seconds (RFC 7252, 4.8.1)."""

    MAX_RETRANSMIT = 2
    reliability = True

    def __init__(self, ack_timeout_s: float) -> None:
        self.ACK_TIMEOUT = ack_timeout_s


class _Unreliable(TransportTuning):  # type: ignore[misc]  # the library has no types
    reliability = False


_UNRELIABLE = _Unreliable()


class Settings(NamedTuple):
    """How one device speaks CoAP."""

    device_id: str
    host: str
    port: int
    dtls: SSL.Context
    confirmable: bool = True
    content_format: int = JSON
    inflight_max: int = 16
    ack_timeout_s: float = ACK_TIMEOUT_S


class RefusedError(ConnectionError):
    """The handshake failed; ``reason`` as the transport has it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"handshake failed: {reason}")
        self.reason = reason


def names_a_gateway(der: bytes) -> bool:
    """Whether a verified certificate is a gateway's: ``spiffe://…/gateway/…``."""
    extensions = x509.load_der_x509_certificate(der).extensions
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return any(uri.startswith("spiffe://") and uri.split("/")[3:4] == ["gateway"] for uri in uris)


class CoapLink:
    """One device's link; see :class:`firmware_sim.link.DeviceLink`."""

    def __init__(
        self, settings: Settings, random: Random, on_command: CommandHandler | None = None
    ) -> None:
        self._settings = settings
        self._random = random
        self._reliable = _Reliable(settings.ack_timeout_s)
        self._on_command = on_command
        self._slots = asyncio.Semaphore(settings.inflight_max)
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._context: aiocoap.Context | None = None
        self._interface: MessageInterface | None = None
        self._client: DtlsClient | None = None
        self._remote: Remote | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._senders: set[asyncio.Task[object]] = set()
        self._pong: asyncio.Future[None] | None = None
        self._closed = False
        self.connects = 0
        """How often the link came up."""

    @property
    def connected(self) -> bool:
        """Whether there is a session, as far as the device knows."""
        return self._up.is_set()

    async def connect(self) -> None:
        """See :meth:`DeviceLink.connect`."""
        loop = asyncio.get_running_loop()
        context = aiocoap.Context(loop=loop, loggername=__name__)
        self._interface = MessageInterface(loop.time, self._hang_up)
        await attach(context, self._interface)
        self._context = context
        await self._open()
        name = f"coap {self._settings.device_id}"
        self._tasks = [loop.create_task(self._reconnect(), name=name)]
        if self._on_command is not None:
            observing = self._observe(self._on_command)
            self._tasks.append(loop.create_task(observing, name=f"{name} commands"))

    async def send(self, kind: str, payload: bytes, _message_id: str) -> Outcome:
        """See :meth:`DeviceLink.send`."""
        path = ("devices", self._settings.device_id, kind)
        async with self._slots:
            task = asyncio.current_task()
            assert task is not None
            self._senders.add(task)
            try:
                return await self._send(path, payload)
            except asyncio.CancelledError:
                if self._closed and not task.uncancel():
                    return Outcome.GIVEN_UP
                raise
            finally:
                self._senders.discard(task)

    async def trespass(self, device_id: str, kind: str, payload: bytes) -> Outcome:
        """Post to another device's path, once."""
        try:
            response = await self._post(("devices", device_id, kind), payload)
        except aiocoap.error.Error:
            return Outcome.GIVEN_UP
        return Outcome.ACKNOWLEDGED if response.code.is_successful() else Outcome.REFUSED

    def drop(self) -> None:
        """Break the session off without a word, as a device that loses power does."""
        if self._client is not None:
            self._client.abort()
        self._lost("dropped")

    async def close(self) -> None:
        """See :meth:`DeviceLink.close`."""
        self._closed = True
        for task in (*self._tasks, *self._senders):
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._context is not None:
            context, self._context = self._context, None
            await context.shutdown()

    # -- messages

    async def _send(self, path: tuple[str, ...], payload: bytes) -> Outcome:
        if not self._settings.confirmable:
            await self._up.wait()
            self._request(Code.POST, path, payload, _UNRELIABLE).response.cancel()
            return Outcome.UNCONFIRMED
        while True:
            await self._up.wait()
            remote = self._remote
            try:
                response = await self._post(path, payload)
            except aiocoap.error.Error:
                if remote is self._remote:
                    self._lost("no answer")
                continue
            if response.code.is_successful():
                return Outcome.ACKNOWLEDGED
            if response.code.class_ == 4:
                return Outcome.REFUSED
            wait_s = BACKOFF_S_MIN if response.opt.max_age is None else response.opt.max_age
            await asyncio.sleep(min(wait_s, RETRY_S_MAX) * self._random.uniform(1.0, 1.5))

    async def _post(self, path: tuple[str, ...], payload: bytes) -> aiocoap.Message:
        return await self._request(Code.POST, path, payload, self._reliable).response

    def _request(
        self, code: Code, path: tuple[str, ...], payload: bytes, tuning: TransportTuning
    ) -> aiocoap.protocol.Request:
        if self._context is None:
            raise aiocoap.error.LibraryShutdown
        message = aiocoap.Message(code=code, payload=payload, transport_tuning=tuning)
        message.opt.uri_path = path
        if code is Code.GET:
            message.opt.observe = 0
        else:
            message.opt.content_format = self._settings.content_format
        message.remote = self._remote
        return self._context.request(message, handle_blockwise=len(payload) > BLOCK_BYTES)

    # -- the session

    async def _open(self) -> None:
        """Shake hands.

        Raises:
            OSError: no trust, no answer, or nobody there.
        """
        settings = self._settings
        interface = self._interface
        assert interface is not None
        client = DtlsClient(settings.dtls, names_a_gateway, self._received, self._lost)
        try:
            await client.connect(settings.host, settings.port, HANDSHAKE_S_MAX)
        except HandshakeError as error:
            raise RefusedError(error.reason) from error
        self._client = client
        await self._ping(client)
        peer = peer_name((settings.host, settings.port))
        self._remote = Remote(client, peer, peer_name(client.local()), ())
        self.connects += 1
        self._down.clear()
        self._up.set()

    async def _ping(self, client: DtlsClient) -> None:
        """Wait for the answer to an empty confirmable message (RFC 7252, 4.3).

        Raises:
            RefusedError: the gateway closed the session, or did not answer.
        """
        pong = self._pong = asyncio.get_running_loop().create_future()
        try:
            for _ in range(PINGS_MAX):
                client.send(_PING)
                done, _ = await asyncio.wait((pong,), timeout=PING_S)
                if done:
                    break
            else:
                pong.set_exception(RefusedError(TIMEOUT))
            await pong
        except BaseException:
            self._hang_up()
            raise
        finally:
            pong.cancel()
            self._pong = None

    def _received(self, plaintext: bytes) -> None:
        if self._pong is not None:
            if plaintext == _PONG and not self._pong.done():
                self._pong.set_result(None)
            return
        if self._interface is not None and self._remote is not None:
            self._interface.received(self._remote, plaintext)

    def _lost(self, reason: str) -> None:
        """The session is of no use any more."""
        if self._pong is not None:
            if not self._pong.done():
                self._pong.set_exception(RefusedError(reason))
            return
        remote, self._remote = self._remote, None
        self._up.clear()
        if remote is not None and self._interface is not None:
            self._hang_up()
            self._interface.ended(remote)
        self._down.set()

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _reconnect(self) -> None:
        """Make a new session whenever there is none, until cancelled."""
        attempt = 0
        while True:
            await self._down.wait()
            ceiling_s = min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2**attempt)
            await asyncio.sleep(self._random.uniform(0, ceiling_s))
            attempt += 1
            with contextlib.suppress(OSError):
                await self._open()
                attempt = 0

    # -- commands

    async def _observe(self, answer: CommandHandler) -> None:
        """Observe the commands of every session in turn, until cancelled."""
        path = ("devices", self._settings.device_id, "command")
        while True:
            await self._up.wait()
            with contextlib.suppress(aiocoap.error.Error):
                request = self._request(Code.GET, path, b"", self._reliable)
                await request.response
                async for notification in request.observation:
                    if notification.payload:
                        await self._post((*path, "result"), answer(notification.payload))
            await asyncio.sleep(self._random.uniform(BACKOFF_S_MIN, 2 * BACKOFF_S_MIN))
