"""What a driver gets from the gateway, and what the gateway asks of a driver.

Everything here is called on the event loop's thread. A driver knows these ports, its own
protocol and nothing else; the daemon injects the implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, StrEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

from gateway.domain.devices import Credential, Device
from gateway.domain.records import AlarmChange, AlarmSnapshot, Record
from gateway.domain.statements import Statement


class Clock(Protocol):
    """Time, as an argument."""

    def now_us(self) -> int:
        """Wall time, microseconds since the Unix epoch."""

    def monotonic(self) -> float:
        """Seconds of a clock that never jumps."""


class Counters(Protocol):
    """Events counted by name; the names and their labels are declared in ``gateway.telemetry``.

    Unknown names raise KeyError, so that a misspelt metric fails its test.
    """

    def add(self, name: str, *labels: str, n: float = 1) -> None:
        """Add ``n`` to a counter."""

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Record one duration in a histogram."""


class Outcome(Enum):
    """What became of a submission."""

    COMMITTED = "committed"
    """Durable: acknowledge now."""
    FULL = "full"
    """The byte limit is reached; alarms that it caused were kept. Do not acknowledge."""
    FAILED = "failed"
    """The disk failed. Do not acknowledge."""


class StateDelta(NamedTuple):
    """A small fact committed atomically with records: ``None`` removes the key."""

    space: str
    """Who owns it: ``"mqtt.qos2"``, ``"alarm"``, …"""
    key: str
    value: bytes | None


Said = Record | AlarmSnapshot | AlarmChange | Statement
"""What a driver may submit: records, and what the pipeline makes records of."""


class Submission(NamedTuple):
    """Records that stand or fall together, with the state that goes with them.

    ``done`` is called exactly once, on the loop, in the order of submission. Alarms are on disk
    before the rest, and may be there without it: after a kill in between, or when the limit of
    telemetry is reached.
    """

    records: Sequence[Said]
    done: Callable[[Outcome], None] | None = None
    deltas: Sequence[StateDelta] = ()
    """Commit with the records that are no alarms."""
    alarm_deltas: Sequence[StateDelta] = ()
    """Commit with the alarms: one without the other is never on disk. Whoever changes a key so
    must not change it by ``deltas``, which may be on disk later than what was submitted behind."""


class Sink(Protocol):
    """Where drivers put what devices said."""

    def submit(self, submission: Submission) -> None:
        """Take a submission; never blocks, never raises for the data's sake.

        Records with a message id that was stored before are dropped silently and reported
        as COMMITTED once the first one is durable.
        """

    def writable(self) -> bool:
        """False while the journal is behind: the driver pauses reading."""

    def when_writable(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, soon after ``writable`` becomes true again."""


class StateView(Protocol):
    """What was committed by StateDeltas, also across restart."""

    def items(self, space: str) -> Mapping[str, bytes]:
        """A copy of everything in ``space``."""

    def get(self, space: str, key: str) -> bytes | None:
        """One of these; None: it is not there."""


class LiveSession(Protocol):
    """A session that revocation or suspension must be able to end at once."""

    def kill(self, reason: str) -> None:
        """Drop the connection now; idempotent."""


class Carrier(StrEnum):
    """What bytes come by, as far as it matters for whoever reads a recording of them."""

    STREAM = "stream"
    """A serial line or a connection: pieces have no meaning, only their order has."""
    DATAGRAMS = "datagrams"
    """Each piece is one."""


class Tapped(NamedTuple):
    """What a tap hears."""

    carrier: Carrier
    asked: bool
    """The gateway opens and asks; else the device connects."""


class Tap(Protocol):
    """Told of every byte between a device and its driver while they are recorded; never raises."""

    def received(self, data: bytes) -> None:
        """The device said it."""

    def sent(self, data: bytes) -> None:
        """The gateway said it."""


@runtime_checkable
class Tappable(Protocol):
    """A LiveSession whose raw bytes can be recorded, as they are above any encryption."""

    def use_tap(self, tap: Tap | None) -> Tapped:
        """Tell ``tap`` of every byte from now on; None: nobody.

        Without a tap each delivery of bytes costs one comparison.
        """


@runtime_checkable
class Movable(Protocol):
    """A LiveSession that can tell its device where to go instead."""

    def move(self, place: str) -> None:
        """End the session, and send the device to the gateway at ``host:port``; idempotent."""


class Admission(Protocol):
    """Who may talk, on every transport."""

    def admit(self, credential: Credential, session: LiveSession) -> Device:
        """Resolve who this is and register the live session.

        Raises:
            RefusedError: with a reason of RefusalReason; already audited and counted.
        """

    def leave(self, session: LiveSession) -> None:
        """The session ended; idempotent."""

    def refuse(
        self, reason: str, transport: str, peer: str, device_id: str = "", *, told: bool = False
    ) -> None:
        """Audit and count a refusal that the driver itself decided (a foreign topic, …).

        A ``clone`` ends every session of the device and keeps it out on every transport for a
        while. ``told`` says that the driver raises the alarm of it by itself.
        """


class SetAside(Protocol):
    """Samples of what could not be understood, sealed and limited, for the engineer."""

    def keep(self, device_id: str, driver: str, reason: str, sample: bytes) -> None:
        """Count and keep a sample (cut to the configured size)."""


class Command(NamedTuple):
    """A downlink message for one device: never one that changes delivery."""

    device_id: str
    command_id: str
    payload: bytes
    expires_us: int


class CommandBox(Protocol):
    """Commands for devices; a driver subscribes its connected devices."""

    def subscribe(self, device_id: str, deliver: Callable[[Command], None]) -> None:
        """Deliver each command for the device while it is connected."""

    def unsubscribe(self, device_id: str, deliver: Callable[[Command], None]) -> None:
        """Stop; idempotent."""

    def answered(self, device_id: str, command_id: str, result: str) -> None:
        """The device's answer to a command."""


class Ports(NamedTuple):
    """Everything a driver is given."""

    admission: Admission
    sink: Sink
    counters: Counters
    clock: Clock
    aside: SetAside
    state: StateView
    commands: CommandBox
    server_tls: Callable[[], Any]
    """The current server TLS context (``ssl.SSLContext``), fresh after a certificate swap."""
    server_dtls: Callable[[], Any]
    """The current server DTLS context (``OpenSSL.SSL.Context``)."""
    client_tls: Callable[[], Any]
    """The current client TLS context, for drivers that connect out (a ward's broker)."""


class Driver(Protocol):
    """One configured instance of a device protocol."""

    async def start(self) -> None:
        """Open listeners or ports; return when they answer.

        Raises:
            ConfigError, OSError: it can't start; nothing is left open.
        """

    async def stop(self, grace_s: float) -> None:
        """Stop taking data, answer what is in flight within ``grace_s``, close. Idempotent."""

    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """Bound listeners by name, such as ``{"mqtt": ("127.0.0.1", 8883)}``."""

    def healthy(self) -> bool:
        """False when it can't do its work; feeds readiness and the watchdog."""


@runtime_checkable
class Reconfigurable(Protocol):
    """A driver that can follow a changed configuration without ending healthy sessions."""

    async def reconfigure(self, config: Any) -> bool:
        """Go on under another configuration, of the factory's type.

        Returns:
            False when this change needs a new start; nothing has changed then.

        Raises:
            ConfigError, OSError: it can't be applied; nothing has changed.
        """


@runtime_checkable
class Messenger(Protocol):
    """A driver that can also send: to a ward's screens and pagers through its broker."""

    async def send(self, topic: str, payload: bytes, expires_s: int, timeout_s: float) -> None:
        """Send; returns when the next hop has it for good (MQTT: PUBACK of QoS 1).

        Args:
            topic: where to.
            payload: what.
            expires_s: who comes later does not get it any more, where the protocol knows that.
            timeout_s: how long to wait.

        Raises:
            NotSentError: it has not arrived, nobody is there to take it, or nobody knows.
        """

    def listen(self, topics: str, read: Callable[[str, bytes], Statement]) -> None:
        """Take what is published under a filter, from now on or from the next connection on.

        ``read`` is given topic and payload, and makes a statement, which is submitted; the message
        is acknowledged when that is committed. It raises MalformedError for what is set aside. Of a
        filter the last reader counts.
        """


class DriverFactory(Protocol):
    """What an entry point of the group ``wardgate.drivers`` names."""

    name: str
    config_type: type
    """A frozen msgspec Struct that forbids unknown fields. A driver that listens has its addresses
    there in ``listen``, and a class variable ``listens_over`` if it is not over TCP. One that
    connects out names whom, as ``host:port``, in ``dials``, and has a class variable
    ``dials_over`` if it is not over TCP: the packet filter and the
    unit's address limits let it through.

    A factory may offer ``fleet_settings: frozenset[str]``: top-level keys of its configuration
    that the fleet may set over the file; without it the fleet can set none.
    """

    def create(self, name: str, config: Any, ports: Ports) -> Driver:
        """Make one driver from its checked configuration; does no I/O."""


__all__ = [
    "Admission",
    "Carrier",
    "Clock",
    "Command",
    "CommandBox",
    "Counters",
    "Driver",
    "DriverFactory",
    "LiveSession",
    "Messenger",
    "Movable",
    "Outcome",
    "Ports",
    "Reconfigurable",
    "Said",
    "SetAside",
    "Sink",
    "StateDelta",
    "StateView",
    "Submission",
    "Tap",
    "Tappable",
    "Tapped",
]
