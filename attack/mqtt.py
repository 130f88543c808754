"""MQTT: identities by certificate, client id, user name, topic and will; broken packets."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import closing

from attack.channel import PATIENCE_S, READ_BYTES, context, dial, knock
from attack.outcome import (
    ACCEPTED,
    KEPT_OUT,
    NOT_TAKEN,
    Attack,
    Seen,
    Word,
    of_error,
)
from attack.target import Address, KeyPair, Reports, Target
from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.errors import EncodeError
from drivers.mqtt.codec.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Role,
    Suback,
    Subscribe,
    Subscription,
    Version,
    Will,
)
from drivers.mqtt.codec.properties import Properties

PACKET_BYTES_MAX = 65_536
WIDE_S = "\uff53"
"""U+FF53, which compatibility normalisation turns into an s."""
FAILURE = 0x80
"""Reason codes from here on are failures (5.0, 2.4)."""


class RefusedError(Exception):
    """The gateway said no."""


class Client:
    """A client that speaks 5.0, one question at a time."""

    def __init__(self, address: Address, tls: ssl.SSLContext, source: str = "") -> None:
        """Shake hands, from the address ``source`` if it matters.

        Raises:
            OSError: as :func:`attack.channel.dial`.
        """
        self.sock = dial(address, tls, source=source)
        self._decoder = Decoder(Role.CLIENT, PACKET_BYTES_MAX, Version.V5)
        self._packets: list[Packet] = []

    def send(self, packet: Packet) -> None:
        """Write one packet."""
        self.sock.sendall(encode(packet, Version.V5))

    def next(self) -> Packet:
        """The next packet.

        Raises:
            OSError: the connection's end, or no answer in time.
            RefusedError: what came can't be read.
        """
        while not self._packets:
            data = self.sock.recv(READ_BYTES)
            if not data:
                raise ConnectionResetError
            self._packets += self._decoder.feed(data)
            if self._decoder.failed is not None:
                raise RefusedError(str(self._decoder.failed))
        return self._packets.pop(0)

    def connect(self, connect: Connect) -> None:
        """CONNECT, and success.

        Raises:
            OSError: as :meth:`next`.
            RefusedError: with the reason's name.
        """
        self.send(connect)
        answer = self.next()
        if not isinstance(answer, Connack) or answer.reason_code >= FAILURE:
            raise RefusedError(_reason(answer))

    def publish(self, topic: str, payload: bytes, number: int) -> None:
        """One report at QoS 1, acknowledged.

        Raises:
            OSError: as :meth:`next`.
            RefusedError: with the reason's name.
        """
        self.send(Publish(topic, payload, qos=1, packet_id=number))
        answer = self.next()
        if not isinstance(answer, Puback) or answer.reason_code >= FAILURE:
            raise RefusedError(_reason(answer))

    def close(self) -> None:
        """Hang up without a word; idempotent."""
        self.sock.close()


def _reason(packet: Packet) -> str:
    code = getattr(packet, "reason_code", None)
    return type(packet).__name__ if code is None else code.name.lower()


def observe(what: Callable[[], Word]) -> Seen:
    """What an exchange brings."""
    try:
        return Seen(what())
    except RefusedError as error:
        return Seen(Word.REFUSED, str(error))
    except ConnectionRefusedError:
        raise
    except OSError as error:
        return of_error(error)


CONNECT_ANYBODY = encode(Connect("", keep_alive_s=60), Version.V5)


def certificate(target: Target, pair: KeyPair | None, version: ssl.TLSVersion | None) -> Seen:
    """Whether a certificate gets so far that CONNECT is answered."""
    return knock(target.mqtt, context(pair, version), CONNECT_ANYBODY)


class Attacks:
    """As the spare, whose key is known."""

    def __init__(self, target: Target, evil: Reports, honest: Reports) -> None:
        """Reports of ``evil`` must never arrive; those of ``honest`` must."""
        self._target = target
        self._evil = evil
        self._honest = honest
        self._tls = context(target.spare)
        self._id = target.spare.device_id

    def all(self) -> Iterator[Attack]:
        """Every attack of this place."""
        yield Attack("mqtt/control: own identity, own topic", ACCEPTED, self._control)
        other = self._target.other_device
        connects = {
            "another's client id": Connect(other),
            "another's user name": Connect(self._id, user_name=other, password=b"x"),
            "will in another's topic": Connect(
                self._id, will=Will(self._target.other_topic, self._evil.next(), qos=1)
            ),
            "client id with a path": Connect(f"{self._id}/../{other}"),
            "client id of 60,000 bytes": Connect("a" * 60_000),
            "client id in other letters": Connect(self._id.swapcase()),
            "user name in other letters": Connect(self._id, user_name=self._id.swapcase()),
            "enhanced authentication": Connect(
                self._id, properties=Properties(authentication_method="PLAIN")
            ),
            "2,000 user properties": Connect(
                self._id, properties=Properties(user_property=(("key", "value"),) * 2000)
            ),
        }
        for name, connect in connects.items():
            yield Attack(f"mqtt/{name}", NOT_TAKEN, lambda c=connect: self._connect(c))  # type: ignore[misc]
        for name, topic in self._topics():
            yield Attack(f"mqtt/{name}", NOT_TAKEN, lambda t=topic: self._publish(t))  # type: ignore[misc]
        for name, wanted in {
            "listen to everybody": "#",
            "listen to another's commands": f"devices/{other}/command",
            "listen to everybody's commands": "devices/+/command",
            "listen to commands in other letters": f"devices/{other}/COMMAND",
            "listen through a shared subscription": f"$share/x/devices/{other}/command",
        }.items():
            yield Attack(f"mqtt/{name}", NOT_TAKEN, lambda w=wanted: self._listen(w))  # type: ignore[misc]
        for name, words in self._broken():
            yield Attack(f"mqtt/{name}", NOT_TAKEN, lambda w=words: self._raw(w))  # type: ignore[misc]
        yield Attack("mqtt/topic alias for another's topic", NOT_TAKEN, self._alias)
        yield Attack("mqtt/publish before CONNECT", KEPT_OUT, self._no_connect)

    def _topics(self) -> Iterator[tuple[str, str]]:
        own, other = self._target.spare.device_id, self._target.other_device
        yield "another's topic", self._target.other_topic
        yield "topic with ..", f"devices/{own}/../{other}/vitals"
        yield "topic with %2f", f"devices/{own}%2f..%2f{other}/vitals"
        yield "topic with a second slash", f"devices//{other}/vitals"
        yield "topic with a slash before", f"/devices/{own}/vitals"
        yield "topic in other letters", f"Devices/{own}/vitals"
        yield "topic with a full-width letter", f"devices/{own.replace('s', WIDE_S)}/vitals"
        yield "topic with a zero-width space", f"devices/{own}\u200b/vitals"
        yield "topic with more levels", f"devices/{own}/vitals/{other}"
        yield "topic of the system", "$SYS/broker"
        yield "topic of commands", f"devices/{own}/command"
        yield "topic of 60,000 bytes", "devices/" + "a" * 60_000

    def _broken(self) -> Iterator[tuple[str, bytes]]:
        own = f"devices/{self._id}/vitals".encode()
        head = len(own).to_bytes(2, "big") + own + b"\x00\x01\x00"
        yield "topic with a wildcard", _publish(b"devices/+/vitals", self._evil.next())
        yield "topic with U+0000", _publish(own + b"\x00", self._evil.next())
        yield "topic in broken UTF-8", _publish(b"devices/\xc0\xaf/vitals", self._evil.next())
        yield "topic with a surrogate", _publish(b"devices/\xed\xa0\x80/v", self._evil.next())
        yield "a packet of 256 MiB", b"\x32\xff\xff\xff\x7f" + head
        yield "a length of five bytes", b"\x32\xff\xff\xff\xff\x01" + head
        yield "a payload of 60,000 bytes", _publish(own, b"[" * 60_000)
        yield "QoS 3", b"\x36" + _publish(own, self._evil.next())[1:]
        yield "packet id 0", _publish(own, self._evil.next(), 0)
        yield "CONNECT twice", encode(Connect(self._id), Version.V5)
        alias = b"\x03\x23"  # three bytes of properties: a topic alias
        yield "topic alias 0", _publish(own, self._evil.next(), properties=alias + b"\0\0")
        yield "topic alias 65,535", _publish(own, self._evil.next(), properties=alias + b"\xff\xff")
        yield (
            "topic alias of nobody",
            _publish(b"", self._evil.next(), properties=alias + b"\0\x01"),
        )
        yield "no topic, no alias", _publish(b"", self._evil.next())
        yield "a server's packet", b"\x20\x03\x00\x00\x00"
        yield "garbage after CONNECT", b"\xff" * 512

    def _session(self) -> Client:
        client = Client(self._target.mqtt, self._tls)
        try:
            client.connect(Connect(self._id, keep_alive_s=60))
        except BaseException:
            client.close()
            raise
        return client

    def _control(self) -> Seen:
        def exchange() -> Word:
            with closing(self._session()) as client:
                client.publish(f"devices/{self._id}/vitals", self._honest.next(), 1)
            return Word.ACCEPTED

        return observe(exchange)

    def _connect(self, connect: Connect) -> Seen:
        def exchange() -> Word:
            with closing(Client(self._target.mqtt, self._tls)) as client:
                client.connect(connect)
            return Word.ADMITTED

        return observe(exchange)

    def _publish(self, topic: str) -> Seen:
        def exchange() -> Word:
            with closing(self._session()) as client:
                client.publish(topic, self._evil.next(), 1)
            return Word.ACCEPTED

        try:
            return observe(exchange)
        except EncodeError as error:
            return Seen(Word.NOT_TRIED, str(error))

    def _listen(self, topic_filter: str) -> Seen:
        def exchange() -> Word:
            with closing(self._session()) as client:
                client.send(Subscribe(1, (Subscription(topic_filter, qos=1),)))
                answer = client.next()
                if isinstance(answer, Suback) and all(c < FAILURE for c in answer.reason_codes):
                    return Word.ACCEPTED
                if isinstance(answer, Suback):
                    raise RefusedError(answer.reason_codes[0].name.lower())
                raise RefusedError(_reason(answer))

        return observe(exchange)

    def _raw(self, words: bytes) -> Seen:
        def exchange() -> Word:
            with closing(self._session()) as client:
                client.sock.sendall(words)
                answer = client.next()
                if isinstance(answer, Disconnect) or getattr(answer, "reason_code", 0) >= FAILURE:
                    raise RefusedError(_reason(answer))
            return Word.ACCEPTED

        return observe(exchange)

    def _alias(self) -> Seen:
        """Another's topic by an alias: whoever refuses the topic may have kept its alias."""
        other = self._target.other_topic

        def exchange() -> Word:
            with closing(self._session()) as client:
                for topic in (other, ""):
                    properties = Properties(topic_alias=1)
                    client.send(Publish(topic, self._evil.next(), 1, 1, properties=properties))
                    answer = client.next()
                    if getattr(answer, "reason_code", 0) < FAILURE:
                        return Word.ACCEPTED
                raise RefusedError(_reason(answer))

        return observe(exchange)

    def _no_connect(self) -> Seen:
        own = f"devices/{self._id}/vitals".encode()
        return knock(self._target.mqtt, self._tls, _publish(own, self._evil.next()))


def _publish(
    topic: bytes, payload: bytes, packet_id: int = 1, properties: bytes = b"\x00"
) -> bytes:
    """A PUBLISH of QoS 1 in 5.0 that no encoder would write."""
    head = len(topic).to_bytes(2, "big") + topic + packet_id.to_bytes(2, "big")
    body = head + properties + payload
    size, length = len(body), bytearray()
    while True:
        size, digit = size >> 7, size & 0x7F
        length.append(digit | (0x80 if size else 0))
        if not size:
            return b"\x32" + bytes(length) + body


__all__ = ["CONNECT_ANYBODY", "PATIENCE_S", "Attacks", "Client", "RefusedError", "certificate"]
