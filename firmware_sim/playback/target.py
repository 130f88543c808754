"""Where a recording is played to: what ``--to`` may say, and the way that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from drivers.transport.serial import SerialSettings
from firmware_sim.endpoints import KeyPair, device_tls
from firmware_sim.playback.conversation import Conversation, Side
from firmware_sim.playback.lines import PortWay, PtyWay
from firmware_sim.playback.network import Address
from firmware_sim.playback.sockets import DatagramWay, DtlsWay, StreamWay
from firmware_sim.playback.way import Way
from gateway.domain.errors import ConfigError
from gateway.domain.ports import Carrier


class Carries(Enum):
    """What can be played on a way."""

    STREAM = "a stream"
    DATAGRAMS = "datagrams"
    RECORD = "a patient's record"


class Scheme(NamedTuple):
    """A kind of way."""

    carries: tuple[Carries, ...]
    asked: bool
    """The device is the end that is asked: the gateway opens, dials or speaks first."""
    secure: bool = False
    """The device shows a certificate."""


SCHEMES: Final[Mapping[str, Scheme]] = {
    "pty": Scheme((Carries.STREAM, Carries.RECORD), asked=True),
    "serial": Scheme((Carries.STREAM,), asked=True),
    "tcp": Scheme((Carries.STREAM,), asked=False),
    "tcp-listen": Scheme((Carries.STREAM,), asked=True),
    "tls": Scheme((Carries.STREAM,), asked=False, secure=True),
    "udp": Scheme((Carries.DATAGRAMS,), asked=False),
    "udp-listen": Scheme((Carries.DATAGRAMS,), asked=True),
    "dtls": Scheme((Carries.DATAGRAMS,), asked=False, secure=True),
    "mqtts": Scheme((Carries.RECORD,), asked=False, secure=True),
    "coaps": Scheme((Carries.RECORD,), asked=False, secure=True),
}

_SERIAL_OPTIONS: Final = {
    "baud": "baud_rate",
    "bits": "data_bits",
    "parity": "parity",
    "stop": "stop_bits",
    "flow": "flow_control",
}


class Target(NamedTuple):
    """A parsed ``--to``."""

    words: str
    name: str
    scheme: Scheme
    path: Path
    """Of a line."""
    address: Address
    """Of a network way."""
    serial: SerialSettings | None = None


class Identity(NamedTuple):
    """Whose certificate the device shows, and which root the gateway must have."""

    ca: Path
    pair: KeyPair


def parse(words: str) -> Target:
    """Read ``--to``.

    Raises:
        ConfigError: it says nothing that is known.
    """
    parts = urlsplit(words)
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None:
        raise ConfigError(f"--to {words}: begin with one of {', '.join(SCHEMES)}")
    nowhere = Address("", 0)
    if parts.scheme in ("pty", "serial"):
        if not parts.path.startswith("/"):
            raise ConfigError(f"--to {words}: {parts.scheme}: and an absolute path")
        line = Target(words, parts.scheme, scheme, Path(parts.path), nowhere)
        return line._replace(serial=_serial(words, parts.path, parts.query))
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise ConfigError(f"--to {words}: {parts.scheme}://HOST:PORT")
    return Target(words, parts.scheme, scheme, Path(), Address(host, port))


def _serial(words: str, path: str, query: str) -> SerialSettings:
    given: dict[str, object] = {"port": path}
    for key, value in parse_qsl(query):
        if key not in _SERIAL_OPTIONS:
            raise ConfigError(f"--to {words}: {key}: one of {', '.join(_SERIAL_OPTIONS)}")
        given[_SERIAL_OPTIONS[key]] = int(value) if value.isdecimal() else value
    try:
        return msgspec.convert(given, SerialSettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--to {words}: {error}") from error


def require(target: Target, carries: Carries) -> None:
    """Refuse what can't be played there.

    Raises:
        ConfigError: says what could be.
    """
    if carries not in target.scheme.carries:
        able = [name for name, each in SCHEMES.items() if carries in each.carries]
        hint = ""
        if carries is Carries.DATAGRAMS and Carries.STREAM in target.scheme.carries:
            hint = "; or say with --frame what is put around them"
        raise ConfigError(
            f"--to {target.words} can't carry {carries.value}: that takes one of"
            f" {', '.join(able)}{hint}"
        )


def fitting(conversation: Conversation, target: Target, device_at: str) -> Conversation:
    """The conversation with the right end as the device.

    Raises:
        ConfigError: neither end is at ``device_at``, or the device said nothing.
    """
    if device_at:
        if not _is_at(conversation.device, device_at):
            conversation = conversation.turned()
        if not _is_at(conversation.device, device_at):
            ends = f"{conversation.peer} and {conversation.device}"
            raise ConfigError(f"--device-at {device_at}: this conversation is between {ends}")
    elif conversation.peer and target.scheme.asked:
        conversation = conversation.turned()
    if not conversation.bytes_of(Side.DEVICE):
        raise ConfigError(
            f"{conversation.device} said nothing in this conversation; is the device the other"
            f" end? (--device-at {conversation.peer or 'HOST:PORT'})"
        )
    carrier = Carries.STREAM if conversation.carrier is Carrier.STREAM else Carries.DATAGRAMS
    require(target, carrier)
    return conversation


def _is_at(end: str, wanted: str) -> bool:
    return wanted in (end, end.rpartition(":")[0].strip("[]"))


def way_maker(target: Target, identity: Identity | None, wait_s: float) -> Callable[[], Way]:
    """Make ways to the gateway.

    Args:
        target: where it is.
        identity: for those that show a certificate.
        wait_s: how long a gateway that comes by itself may take.

    Raises:
        ConfigError: a certificate is needed, or can't be used.
    """
    if not target.scheme.secure:
        return _plain_ways(target, wait_s)[target.name]
    if identity is None:
        raise ConfigError(f"--to {target.words}: whose part is played? Give --identity DIRECTORY")
    (ca, pair), address = identity, target.address
    if target.name == "dtls":
        return lambda: DtlsWay(address, ca, pair)
    context = device_tls(ca, pair)
    return lambda: StreamWay(address, context)


def _plain_ways(target: Target, wait_s: float) -> dict[str, Callable[[], Way]]:
    path, address = target.path, target.address
    return {
        "pty": lambda: PtyWay(path, wait_s),
        "serial": lambda: PortWay(target.serial or SerialSettings(str(path)), wait_s),
        "tcp": lambda: StreamWay(address, None),
        "tcp-listen": lambda: StreamWay(address, None, wait_s),
        "udp": lambda: DatagramWay(address),
        "udp-listen": lambda: DatagramWay(address, wait_s),
    }
