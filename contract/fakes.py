"""Fakes that implement the ports in memory, for tests of one part.

A whole path is tested with real processes instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from gateway.domain.devices import (
    AddressCredential,
    BrokerCredential,
    CertificateCredential,
    Credential,
    Device,
    HostCredential,
    PortCredential,
)
from gateway.domain.errors import RefusedError
from gateway.domain.ports import Command, LiveSession, Outcome, Submission
from gateway.telemetry import METRICS, Declared


class FakeClock:
    """Stands still until it is told to move."""

    def __init__(self, now_us: int = 1_790_000_000_000_000) -> None:
        self._us = now_us
        self._mono = 1000.0

    def now_us(self) -> int:
        return self._us

    def monotonic(self) -> float:
        return self._mono

    def advance(self, seconds: float) -> None:
        self._us += round(seconds * 1e6)
        self._mono += seconds


class FakeCounters:
    """Counts in a dict and refuses undeclared names and wrong label counts."""

    def __init__(self, declared: Mapping[str, Declared] = METRICS) -> None:
        self._declared = declared
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.gauges: dict[tuple[str, ...], float] = {}
        self.observed: dict[tuple[str, ...], list[float]] = {}

    def _check(self, kind: str, name: str, labels: tuple[str, ...]) -> None:
        declared = self._declared[name]
        assert declared.kind == kind
        assert len(labels) == len(declared.labels)

    def add(self, name: str, *labels: str, n: float = 1) -> None:
        self._check("counter", name, labels)
        self.counts[(name, *labels)] += n  # type: ignore[assignment]

    def set(self, name: str, value: float, *labels: str) -> None:
        self._check("gauge", name, labels)
        self.gauges[(name, *labels)] = value

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        self._check("histogram", name, labels)
        self.observed.setdefault((name, *labels), []).append(seconds)


class FakeSink:
    """Keeps submissions; ``settle`` says what becomes of them, in order."""

    def __init__(self, automatic: Outcome | None = None) -> None:
        self.automatic = automatic
        self.submissions: list[Submission] = []
        self.waiting: list[Submission] = []
        self.is_writable = True
        self._resume: list[Callable[[], None]] = []

    @property
    def records(self) -> list[object]:
        return [record for submission in self.submissions for record in submission.records]

    def submit(self, submission: Submission) -> None:
        self.submissions.append(submission)
        self.waiting.append(submission)
        if self.automatic is not None:
            self.settle(self.automatic)

    def settle(self, outcome: Outcome = Outcome.COMMITTED, count: int | None = None) -> None:
        settled, self.waiting = self.waiting[:count], self.waiting[len(self.waiting[:count]) :]
        for submission in settled:
            if submission.done is not None:
                submission.done(outcome)

    def writable(self) -> bool:
        return self.is_writable

    def when_writable(self, resume: Callable[[], None]) -> None:
        self._resume.append(resume)

    def become_writable(self) -> None:
        self.is_writable = True
        waiting, self._resume = self._resume, []
        for resume in waiting:
            resume()


class FakeAdmission:
    """Admits the devices that it was told of; certificates are looked up by their bytes."""

    def __init__(self, devices: Mapping[bytes | str, Device] | None = None) -> None:
        self.devices = dict(devices or {})
        self.live: dict[LiveSession, Device] = {}
        self.refusals: list[tuple[str, str, str]] = []

    def admit(self, credential: Credential, session: LiveSession) -> Device:
        match credential:
            case CertificateCredential(der=key):
                device = self.devices.get(key)
            case HostCredential() | PortCredential() | AddressCredential() | BrokerCredential():
                device = self.devices.get(credential.device_id)
        if device is None:
            self.refuse("unknown_device", "test", "")
            raise RefusedError("unknown_device")
        self.live[session] = device
        return device

    def leave(self, session: LiveSession) -> None:
        self.live.pop(session, None)

    def refuse(
        self, reason: str, transport: str, peer: str, device_id: str = "", *, told: bool = False
    ) -> None:
        del peer, told
        self.refusals.append((reason, transport, device_id))


class FakeTap:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bytes]] = []

    def received(self, data: bytes) -> None:
        self.told.append(("received", data))

    def sent(self, data: bytes) -> None:
        self.told.append(("sent", data))


SAMPLES_KEPT_MAX = 32
"""As they are; of what is set aside later, only so many bytes, as the real one is bounded."""
SAMPLE_BYTES_LATER = 16


class FakeAside:
    """Keeps what was set aside."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, str, bytes]] = []

    def keep(self, device_id: str, driver: str, reason: str, sample: bytes) -> None:
        size = len(sample) if len(self.kept) < SAMPLES_KEPT_MAX else SAMPLE_BYTES_LATER
        self.kept.append((device_id, driver, reason, bytes(sample[:size])))


class FakeState:
    """Committed state, as given."""

    def __init__(self, spaces: Mapping[str, Mapping[str, bytes]] | None = None) -> None:
        self.spaces = {name: dict(items) for name, items in (spaces or {}).items()}

    def items(self, space: str) -> Mapping[str, bytes]:
        return dict(self.spaces.get(space, {}))

    def get(self, space: str, key: str) -> bytes | None:
        return self.spaces.get(space, {}).get(key)


class FakeCommands:
    """A command box that delivers at once."""

    def __init__(self) -> None:
        self.subscribed: dict[str, list[Callable[[Command], None]]] = {}
        self.answers: list[tuple[str, str, str]] = []

    def subscribe(self, device_id: str, deliver: Callable[[Command], None]) -> None:
        self.subscribed.setdefault(device_id, []).append(deliver)

    def unsubscribe(self, device_id: str, deliver: Callable[[Command], None]) -> None:
        if deliver in self.subscribed.get(device_id, []):
            self.subscribed[device_id].remove(deliver)

    def answered(self, device_id: str, command_id: str, result: str) -> None:
        self.answers.append((device_id, command_id, result))

    def send(self, command: Command) -> None:
        for deliver in list(self.subscribed.get(command.device_id, [])):
            deliver(command)
