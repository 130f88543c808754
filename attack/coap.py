"""CoAP over DTLS: identities by certificate and path, broken messages."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator

from aiocoap import Message
from aiocoap.error import Error as CoapError
from aiocoap.numbers.codes import Code
from aiocoap.numbers.types import Type
from OpenSSL import SSL

from attack import dtls
from attack.channel import PATIENCE_S
from attack.outcome import ACCEPTED, Attack, Seen, Word, of_error
from attack.target import KeyPair, Reports, Target

PING = b"\x40\x00\x00\x01"
"""An empty confirmable message; its answer is a reset (RFC 7252, 4.3)."""
JSON = 50
BLOCK_EXPONENT, BLOCK_BYTES = 2, 64
TAKEN_NOT = frozenset({Word.REFUSED, Word.CLOSED, Word.SILENT})
"""What is no CoAP is dropped without an answer (RFC 7252, 3)."""
SILENT_S = 2.0
"""Where no answer is as good as a refusal."""


def certificate(target: Target, pair: KeyPair | None, patience_s: float = PATIENCE_S) -> Seen:
    """Whether a certificate gets so far that a ping is answered."""
    return dtls.knock(target.coaps, dtls.context(pair), PING, patience_s)


class Attacks:
    """As the spare, whose key is known."""

    def __init__(self, target: Target, evil: Reports, honest: Reports) -> None:
        """Reports of ``evil`` must never arrive; those of ``honest`` must."""
        self._target = target
        self._evil = evil
        self._honest = honest
        self._tls = dtls.context(target.spare)
        self._id = target.spare.device_id
        self._numbers = itertools.count(1)

    def all(self) -> Iterator[Attack]:
        """Every attack of this place."""
        yield Attack("coap/control: own identity, own path", ACCEPTED, self._control)
        for name, path in self._paths():
            yield Attack(
                f"coap/{name}",
                TAKEN_NOT,
                lambda p=path: self._ask(self._post(p, self._evil.next())),  # type: ignore[misc]
            )
        other = self._target.other_device
        observe = self._message(Code.GET, ("devices", other, "command"))
        observe.opt.observe = 0
        yield Attack(
            "coap/observe another's commands", TAKEN_NOT, lambda: self._ask(observe.encode())
        )
        yield Attack("coap/a body begun in another session", TAKEN_NOT, self._two_sessions)
        for name, words in self._broken():
            yield Attack(f"coap/{name}", TAKEN_NOT, lambda w=words: self._ask(w))  # type: ignore[misc]

    def _paths(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        own, other = self._id, self._target.other_device
        yield "another's path", ("devices", other, "vitals")
        yield "path with ..", ("devices", own, "..", other, "vitals")
        yield "path with a slash in a segment", ("devices", f"{own}/../{other}", "vitals")
        yield "path in one segment", (f"devices/{other}/vitals",)
        yield "path with %2e%2e", ("devices", own, "%2e%2e", other, "vitals")
        yield "path with an empty segment", ("devices", "", other, "vitals")
        yield "path in other letters", ("Devices", own, "vitals")
        yield "path with U+0000", ("devices", f"{own}\0{other}", "vitals")
        yield "path with a full-width letter", ("devices", own.replace("s", "\uff53"), "vitals")
        yield "path with more segments", ("devices", own, "vitals", other)
        yield "path of 100 segments", ("devices", *[own] * 100)
        yield "post a command", ("devices", own, "command")

    def _broken(self) -> Iterator[tuple[str, bytes]]:
        own = ("devices", self._id, "vitals")
        good = self._post(own, self._evil.next())
        yield "token of 15 bytes", bytes([good[0] | 0x0F]) + good[1:]
        yield "version 3", bytes([good[0] | 0xC0]) + good[1:]
        yield "an option of 64 KiB", good[:8] + b"\xbe\xff\xff" + b"x"
        yield "path in broken UTF-8", good[:8] + b"\xb7devices\x02\xc0\xaf\x06vitals\xff{}"
        yield "a payload marker without payload", self._post(own, b"") + b"\xff"
        yield "garbage in the session", secrets.token_bytes(64)
        host = self._message(Code.POST, own, self._evil.next())
        host.opt.proxy_uri = "coap://192.0.2.1/"
        yield "a proxy's request", host.encode()
        scheme = self._message(Code.POST, own, self._evil.next())
        scheme.opt.proxy_scheme = "coaps"
        yield "a proxy's request by scheme", scheme.encode()
        critical = self._message(Code.POST, own, self._evil.next()).encode()
        yield "an unknown critical option", critical[:8] + b"\x91x" + critical[8:][:0] + b"\xff{}"
        yield "a payload of another format", self._post(own, b"<xml/>")

    def _message(self, code: Code, path: tuple[str, ...], payload: bytes = b"") -> Message:
        number = next(self._numbers)
        message = Message(
            code=code, payload=payload, _mtype=Type.CON, _mid=number, _token=secrets.token_bytes(4)
        )
        message.opt.uri_path = path
        return message

    def _post(self, path: tuple[str, ...], payload: bytes) -> bytes:
        message = self._message(Code.POST, path, payload)
        message.opt.content_format = JSON
        encoded: bytes = message.encode()
        return encoded

    def _control(self) -> Seen:
        return self._ask(
            self._post(("devices", self._id, "vitals"), self._honest.next()), PATIENCE_S
        )

    def _two_sessions(self) -> Seen:
        """The first block in one session, the last in another one of the same device."""
        payload = self._evil.next(pad="a" * 24)
        blocks = []
        for number, more in ((0, True), (1, False)):
            message = self._message(Code.POST, ("devices", self._id, "vitals"))
            message.opt.content_format = JSON
            message.opt.block1 = (number, more, BLOCK_EXPONENT)
            start = number * BLOCK_BYTES
            message.payload = payload[start : start + BLOCK_BYTES] if more else payload[start:]
            blocks.append(message.encode())
        first = self._ask(blocks[0], PATIENCE_S)
        if first.word is not Word.ACCEPTED:
            return Seen(Word.NOT_TRIED, f"the first block: {first}")
        with dtls.Connection(self._target.coaps, self._tls) as held:
            held.handshake()
            held.ask(blocks[0], SILENT_S)
            return self._ask(blocks[1])

    def _ask(self, words: bytes, patience_s: float = SILENT_S) -> Seen:
        try:
            with dtls.Connection(self._target.coaps, self._tls) as connection:
                connection.handshake()
                answer = connection.ask(words, patience_s)
        except ConnectionRefusedError:
            raise
        except (OSError, SSL.Error) as error:
            return of_error(error)
        try:
            code = Message.decode(answer).code
        except CoapError as error:
            return Seen(Word.NOT_TRIED, f"unreadable answer: {error}")
        if code == Code.EMPTY:
            return Seen(Word.REFUSED, "reset")
        return Seen(Word.ACCEPTED if code.is_successful() else Word.REFUSED, str(code))
