"""Many devices that attach at once: EAP-TLS peers behind one SMF, each a whole handshake.

RFC 3748 and RFC 5216 over RADIUS (RFC 2865, RFC 3579): as much of them as an attachment takes.
``eapol_test`` is a process per device; this one is for crowds, and holds nothing against the
server's manners but its proofs.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import ssl
import time
from random import Random
from typing import Final, NamedTuple

from security.files import TlsFiles

ACCESS_REQUEST, ACCEPT, REJECT, CHALLENGE = 1, 2, 3, 11
EAP_RESPONSE, IDENTITY, TLS = 2, 1, 13
LENGTH, MORE, START = 0x80, 0x40, 0x20
STATE, EAP_MESSAGE, MESSAGE_AUTHENTICATOR = 24, 79, 80
FRAGMENT_BYTES: Final = 1000
VALUE_BYTES_MAX: Final = 253
AGAIN_S: Final = 3.0
"""An SMF asks again after so long (TS 29.561 leaves it open; RFC 5080, 2.2.1 begins with 2 s)."""
TRIES: Final = 10
BEGIN_AGAIN_S_MAX: Final = 10.0
"""A device whose attachment nobody answered rests for so long at most."""


class Attached(NamedTuple):
    """How one attachment went."""

    accepted: bool | None
    """None: nobody answered, although it was asked for :data:`TRIES` times."""
    took_s: float
    repeats: int
    server: bytes = b""
    """The certificate that the server showed, DER."""


def attribute(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value) + 2)) + value


def vendor(kind: int, value: bytes) -> bytes:
    """One of the 3GPP's attributes (TS 29.561, 11.3)."""
    return attribute(26, bytes.fromhex("000028af") + attribute(kind, value))


class EapTls:
    """A device's side: takes each EAP request, and has the response to it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out)
        self._came = b""
        self._leaves = b""
        self._whole = 0

    @property
    def server(self) -> bytes:
        """The certificate that the server has shown, DER; empty: none that was good, or not yet."""
        try:
            return self._tls.getpeercert(binary_form=True) or b""
        except ValueError:  # refused in the middle of the handshake
            return b""

    def answer(self, request: bytes) -> bytes:
        """The response to a request, which has type EAP-TLS."""
        number, kind, flags = request[1], request[4], request[5]
        assert kind == TLS, kind
        self._came += request[10 if flags & LENGTH else 6 :]
        if flags & MORE:
            return response(number, TLS, b"\0")
        if self._came or flags & START:
            self._step()
        return response(number, TLS, self._fragment())

    def _step(self) -> None:
        self._in.write(self._came)
        self._came = b""
        try:
            self._tls.do_handshake()
            self._tls.read(1)  # TLS 1.3: the server's word that it is done
        except ssl.SSLWantReadError:
            pass
        self._leaves = self._out.read()
        self._whole = len(self._leaves)

    def _fragment(self) -> bytes:
        first = len(self._leaves) == self._whole
        part, self._leaves = self._leaves[:FRAGMENT_BYTES], self._leaves[FRAGMENT_BYTES:]
        if not self._leaves:
            return b"\0" + part
        if first:
            return bytes((LENGTH | MORE,)) + self._whole.to_bytes(4, "big") + part
        return bytes((MORE,)) + part


def response(number: int, kind: int, data: bytes) -> bytes:
    return (
        bytes((EAP_RESPONSE, number)) + (5 + len(data)).to_bytes(2, "big") + bytes((kind,)) + data
    )


def context_of(files: TlsFiles) -> ssl.SSLContext:
    """A device's certificate, for all of its attachments."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # RFC 5216, 5.2: a network's server has no host that was dialled
    context.load_cert_chain(files.cert, files.key)
    context.load_verify_locations(files.trust)
    return context


class _Answers(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, _address: object) -> None:
        self._queue.put_nowait(data)

    async def to(self, number: int) -> bytes:
        """The answer to a request; empty: none within :data:`AGAIN_S`."""
        try:
            async with asyncio.timeout(AGAIN_S):
                while (answer := await self._queue.get())[1] != number:
                    pass
        except TimeoutError:  # with so many beside it, it may have come all the same
            while not self._queue.empty():
                if (answer := self._queue.get_nowait())[1] == number:
                    return answer
            return b""
        return answer


async def attach(port: int, secret: bytes, context: ssl.SSLContext, facts: bytes) -> Attached:
    """Attach once.

    Args:
        port: the server's, on loopback.
        secret: shared with it.
        context: of the device.
        facts: attributes that the network says beside it.
    """
    began = time.monotonic()
    transport, answers = await asyncio.get_running_loop().create_datagram_endpoint(
        _Answers, remote_addr=("127.0.0.1", port)
    )
    peer, state, repeats = EapTls(context), b"", 0
    eap = response(0, IDENTITY, b"anonymous")
    try:
        for number in range(256):
            asked = request(number, secret, facts + state, eap)
            answer = b""
            for tries in range(TRIES):
                transport.sendto(asked)
                repeats += tries > 0
                if answer := await answers.to(number):
                    break
            else:
                return Attached(None, time.monotonic() - began, repeats)
            _verify(answer, asked, secret)
            if answer[0] in (ACCEPT, REJECT):
                took_s = time.monotonic() - began
                return Attached(answer[0] == ACCEPT, took_s, repeats, peer.server)
            found = list(attributes(answer))
            state = b"".join(attribute(kind, value) for kind, value in found if kind == STATE)
            eap = peer.answer(b"".join(value for kind, value in found if kind == EAP_MESSAGE))
        raise AssertionError("it goes on for ever")
    finally:
        transport.close()


class Try(NamedTuple):
    """How a device's attachment went, over all the times that it tried."""

    accepted: bool
    took_s: float
    repeats: int
    """Requests that the SMF sent again."""
    given_up: int
    """Times that the SMF had no answer, and the device began anew."""


async def persist(
    port: int, secret: bytes, context: ssl.SSLContext, facts: bytes, random: Random
) -> Try:
    """As :func:`attach`, and again after a while as long as nobody answers."""
    loop = asyncio.get_running_loop()
    began, repeats, given_up = loop.time(), 0, 0
    while True:
        found = await attach(port, secret, context, facts)
        repeats += found.repeats
        if found.accepted is not None:
            return Try(found.accepted, loop.time() - began, repeats, given_up)
        given_up += 1
        await asyncio.sleep(random.uniform(0, BEGIN_AGAIN_S_MAX))


def request(number: int, secret: bytes, facts: bytes, eap: bytes) -> bytes:
    """An Access-Request that carries an EAP packet."""
    body = facts
    for at in range(0, len(eap), VALUE_BYTES_MAX):
        body += attribute(EAP_MESSAGE, eap[at : at + VALUE_BYTES_MAX])
    body += attribute(MESSAGE_AUTHENTICATOR, bytes(16))
    head = bytes((ACCESS_REQUEST, number)) + (20 + len(body)).to_bytes(2, "big") + os.urandom(16)
    return (head + body)[:-16] + hmac.new(secret, head + body, "md5").digest()


def _verify(answer: bytes, request: bytes, secret: bytes) -> None:
    proof = hashlib.md5(answer[:4] + request[4:20] + answer[20:] + secret).digest()
    assert answer[4:20] == proof


def attributes(packet: bytes) -> list[tuple[int, bytes]]:
    """What an answer has, in its order."""
    found, at = [], 20
    while at < len(packet):
        found.append((packet[at], packet[at + 2 : at + packet[at + 1]]))
        at += packet[at + 1]
    return found
