"""The identity service: who may talk, on every transport, and who may no longer.

Rules:

* A device is who its certificate says. TLS has verified chain, time and usage; on each
  connection, resumed ones included, this service reads the identity, and looks up expiry,
  revocation and standing.
* Serial ports and a ward's broker vouch for devices without a certificate; standing holds for
  these too, and so does the revocation of all certificates that a device has had.
* It knows each live session by device, by serial number and by who issued its certificate.
  Revoking and suspending ends them at once; so does the end of a certificate
  (:meth:`IdentityService.expire`).
* A device for which the registry names a transport may come by that one alone.
* A device that somebody else has a reason to keep out (:meth:`IdentityService.bar`) is suspended
  until that reason is gone.
* A driver that sees one identity used from two places refuses it as a ``clone``: the device is kept
  out on every transport for ``CLONE_OUT_S``.
* Every refusal is counted and audited. Clones, and refusals for the identity that repeat, are told
  to people (:attr:`IdentityService.on_suspicion`).

Revocation and standing are look-ups in a set and a dictionary, which the fleet's word replaces as
a whole; without the fleet the last word stays in force. A new set counts at once for whoever comes;
live sessions are looked up in it a slice at a time, so that the loop serves others in between.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Literal, Protocol, assert_never

import msgspec

from gateway.domain.devices import (
    AddressCredential,
    BrokerCredential,
    CertificateCredential,
    Credential,
    Device,
    HostCredential,
    PortCredential,
    Standing,
)
from gateway.domain.errors import RefusalReason, RefusedError
from gateway.domain.ports import Clock, Counters, LiveSession
from security.livesessions import Live, LiveSessions
from security.names import Identity, Role, parse_identity
from security.serials import NO_SERIALS, Serials
from security.suspicions import Suspicions

IDENTITIES_CACHED_MAX = 16_384
"""Three times the sessions that one gateway is measured with; about 200 bytes each."""

MOVED = "moved"
"""Why a session ends whose device the registry has put elsewhere; it may come back at once."""

CLONE_OUT_S = 600.0
"""Long enough for somebody to look; then the next alternation shows it anew."""
CLONES_MAX = 4096
SWEEP_MARKS = 1000
"""Live sessions that are looked up in one turn of the loop, in less than a millisecond."""
SUSPECT = frozenset({RefusalReason.IDENTITY_MISMATCH, RefusalReason.WRONG_TRANSPORT})
PROTOCOLS = {"coap": "coaps", "hl7": "mllp"}
"""What the registry calls the transports that drivers call otherwise."""

log = logging.getLogger(__name__)


class IdentityConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[identity]``."""

    trust_domain: str
    unknown_devices: Literal["admit", "refuse"] = "refuse"
    """What becomes of a valid certificate whose device the registry does not know. Before the
    first directory has arrived it is admitted: it is enrolled, and nobody can tell more."""


class Auditor(Protocol):
    """Where refusals and revocations are told; implemented by ``security.audit``."""

    def record(self, event: str, **fields: str | int) -> None:
        """Append one event; never raises for the disk's sake."""

    def refused(self, reason: str, transport: str, peer: str, device_id: str) -> None:
        """Append a refusal, or count it when there are too many."""


class SessionAuditor(Auditor, Protocol):
    """Where sessions are told, too; implemented by ``security.audit``."""

    def admitted(self, device_id: str, transport: str, peer: str) -> None:
        """A device's session began: append it, or count it."""

    def left(self, device_id: str, transport: str) -> None:
        """A device's session ended; counted."""


class IdentityService:
    """Implements ``gateway.domain.ports.Admission``; to be used on the loop's thread."""

    def __init__(
        self, config: IdentityConfig, clock: Clock, counters: Counters, audit: SessionAuditor
    ) -> None:
        self._config = config
        self._clock = clock
        self._counters = counters
        self._audit = audit
        self._directory: Mapping[str, Device] | None = None
        self._revoked = NO_SERIALS
        self._identities: dict[bytes, Identity] = {}
        self.live = LiveSessions()
        """Who is here."""
        self._unswept: list[int] = []
        """Marks of live sessions that are still to be looked up in a new set."""
        self._suspicions = Suspicions()
        self._clones: dict[str, float] = {}
        self._barred: dict[str, str] = {}
        self.on_directory: Callable[[Iterable[Device]], None] = _nobody
        """Called with everything that the fleet says of devices, once it is applied."""
        self.on_suspicion: Callable[[Device, str, str], None] = _nobody
        """Called with a device, a reason of RefusalReason and a transport, for an alarm."""
        self.on_live: Callable[[str, LiveSession], None] = _nobody
        """Called with a device and its session once it is live …"""
        self.on_gone: Callable[[LiveSession], None] = _nobody
        """… and when it is so no longer."""
        self.on_dismissed: Callable[[str], None] = _nobody
        """Called with a device that is retired or without a good certificate, and has no live
        session: nobody is to wait for it. Called again with every directory that says so."""

    # What drivers ask

    def admit(self, credential: Credential, session: LiveSession) -> Device:
        """Resolve who this is and register the live session.

        Raises:
            RefusedError: with a reason of RefusalReason; already audited and counted.
        """
        match credential:
            case CertificateCredential():
                return self._admit_certificate(credential, session)
            case HostCredential():
                return self._admit_host(credential, session)
            case PortCredential(device_id=device_id, port=peer):
                transport = "serial"
            case AddressCredential(device_id=device_id, address=peer):
                transport = "lan"
            case BrokerCredential(device_id=device_id, broker=peer):
                transport = "broker"
            case _:
                assert_never(credential)
        try:
            device = self._vouched(device_id, transport)
        except RefusedError as refusal:
            self.refuse(refusal.reason, transport, peer, device_id)
            raise
        self._register(session, Live(device, transport, (), float("inf"), peer))
        return device

    def leave(self, session: LiveSession) -> None:
        """The session ended; idempotent."""
        live = self.live.remove(session)
        if live is not None:
            self._audit.left(live.device.device_id, live.transport)
            self.on_gone(session)

    def refuse(
        self, reason: str, transport: str, peer: str, device_id: str = "", *, told: bool = False
    ) -> None:
        """Audit and count a refusal; see :meth:`gateway.domain.ports.Admission.refuse`."""
        self._counters.add("refused", reason, transport)
        self._audit.refused(reason, transport, peer, device_id)
        if not device_id:
            return
        now = self._clock.monotonic()
        if reason == RefusalReason.CLONE:
            self._keep_out(device_id, now)
            tell = self._suspicions.tell(device_id, now) and not told
        else:
            tell = reason in SUSPECT and self._suspicions.refused(device_id, now)
        if tell:
            log.warning("%s is suspect: %s over %s", device_id, reason, transport)
            self.on_suspicion(self.device(device_id) or Device(device_id), reason, transport)

    # What the fleet says

    def set_revocations(self, serials: Iterable[int], number: int = 0) -> int:
        """Replace the set of revoked serial numbers; returns how many sessions it ended at once.

        Of more than ``SWEEP_MARKS`` live sessions the others end in the loop's next turns. Give
        :class:`Serials` where there may be many, as a verified list has them.
        """
        self._revoked = serials if isinstance(serials, Serials) else Serials.of(serials)
        self._counters.set("revocations", len(self._revoked))
        self._audit.record("revocations", number=number, entries=len(self._revoked))
        return self._end_revoked()

    def revoke(self, serials: Iterable[int]) -> int:
        """Add revoked serial numbers; returns as :meth:`set_revocations`."""
        self._revoked = Serials.of((*self._revoked, *serials))
        self._counters.set("revocations", len(self._revoked))
        return self._end_revoked()

    def apply_directory(self, devices: Iterable[Device]) -> int:
        """Replace what is known of devices; returns how many sessions it ended.

        A session whose device has moved ends too (``moved``): its driver was told another bed
        when it was admitted, and a report under the wrong bed is worse than a reconnect.
        """
        self._directory = {device.device_id: device for device in devices}
        ended = 0
        for device_id in self.live.devices():
            try:
                device = self._standing(device_id)
            except RefusedError as refusal:
                ended += self.end_device(device_id, refusal.reason)
                continue
            if device.revoked:
                ended += self._end_if(device_id, _is_vouched_for, RefusalReason.REVOKED)
            ended += self._end_if(
                device_id, partial(_strays, device), RefusalReason.WRONG_TRANSPORT
            )
            ended += self._end_if(device_id, partial(_moved, device), MOVED)
        for device in self._directory.values():
            if device.dismissed:
                self._dismiss(device.device_id)
        self.on_directory(self._directory.values())
        return ended

    def bar(self, device_id: str, why: str) -> int:
        """Keep a device out, on every transport, until :meth:`unbar`.

        It is not kept over a restart; who has the reason says so again. Returns how many sessions
        it ended.
        """
        self._barred[device_id] = why
        return self.end_device(device_id, RefusalReason.SUSPENDED)

    def unbar(self, device_id: str) -> None:
        """Let a device in again; idempotent."""
        self._barred.pop(device_id, None)

    def follow(self, config: IdentityConfig) -> None:
        """Go on under a changed rule for unknown devices; it applies to live sessions at once."""
        if config == self._config:
            return
        self._config = config
        if self._directory is not None:
            self.apply_directory(self._directory.values())

    def end_device(self, device_id: str, reason: str) -> int:
        """End all sessions of a device; returns how many."""
        return self._end(self.live.of(device_id), reason)

    # What the daemon asks

    def expire(self) -> int:
        """End sessions whose certificate has ended; to be called now and then."""
        return self._end(self.live.over(self._clock.now_us() / 1e6), RefusalReason.EXPIRED)

    def device(self, device_id: str) -> Device | None:
        """What the directory says of a device."""
        return None if self._directory is None else self._directory.get(device_id)

    def devices(self) -> Collection[Device]:
        """Every device of the directory; none while there is no directory."""
        return () if self._directory is None else self._directory.values()

    def sessions_of(self, device_id: str) -> tuple[LiveSession, ...]:
        """A device's live sessions."""
        return self.live.of(device_id)

    def _admit_certificate(self, credential: CertificateCredential, session: LiveSession) -> Device:
        device_id = ""
        try:
            identity = self._identify(credential.der)
            device_id = identity.id
            self._check(identity)
            device = self._welcome(device_id, credential.transport)
        except RefusedError as refusal:
            self.refuse(refusal.reason, credential.transport, credential.peer, device_id)
            raise
        marks = (identity.serial, identity.authority)
        live = Live(device, credential.transport, marks, identity.not_after, credential.peer)
        self._register(session, live)
        return device

    def _admit_host(self, credential: HostCredential, session: LiveSession) -> Device:
        """A device that listens: its own certificate, or a service's for the host that is its own.

        The configuration vouches for who is at that host, and the certificate for that it is it.
        """
        device_id = credential.device_id
        try:
            identity = self._identify(credential.der)
            self._check_at_host(identity, device_id)
            device = self._vouched(device_id, credential.transport)
        except RefusedError as refusal:
            self.refuse(refusal.reason, credential.transport, credential.peer, device_id)
            raise
        marks = (identity.serial, identity.authority)
        live = Live(device, credential.transport, marks, identity.not_after, credential.peer)
        self._register(session, live)
        return device

    def _check(self, identity: Identity) -> None:
        if identity.role is not Role.DEVICE:
            raise RefusedError(RefusalReason.IDENTITY_MISMATCH, f"a {identity.role}'s identity")
        self._check_still_good(identity)

    def _check_at_host(self, identity: Identity, device_id: str) -> None:
        if identity.role is not Role.SERVICE and identity[:2] != (Role.DEVICE, device_id):
            raise RefusedError(RefusalReason.IDENTITY_MISMATCH, f"a {identity.role}'s identity")
        self._check_still_good(identity)

    def _check_still_good(self, identity: Identity) -> None:
        if identity.not_after <= self._clock.now_us() / 1e6:
            raise RefusedError(RefusalReason.EXPIRED)
        if identity.is_in(self._revoked):
            raise RefusedError(RefusalReason.REVOKED)

    def _identify(self, der: bytes) -> Identity:
        fingerprint = hashlib.sha256(der).digest()
        known = self._identities.get(fingerprint)
        if known is None:
            known = parse_identity(der, self._config.trust_domain)
            if len(self._identities) >= IDENTITIES_CACHED_MAX:
                del self._identities[next(iter(self._identities))]
            self._identities[fingerprint] = known
        return known

    def _welcome(self, device_id: str, transport: str) -> Device:
        """A device that may come now, and this way."""
        device = self._standing(device_id)
        until = self._clones.get(device_id)
        if until is not None:
            if self._clock.monotonic() < until:
                raise RefusedError(RefusalReason.SUSPENDED, "suspected to be a clone")
            del self._clones[device_id]
        if not _may(device, transport):
            raise RefusedError(RefusalReason.WRONG_TRANSPORT, f"registered for {device.transport}")
        return device

    def _keep_out(self, device_id: str, now: float) -> None:
        if len(self._clones) >= CLONES_MAX:
            del self._clones[next(iter(self._clones))]
        self._clones[device_id] = now + CLONE_OUT_S
        self.end_device(device_id, RefusalReason.CLONE)

    def _vouched(self, device_id: str, transport: str) -> Device:
        """A device without a certificate; all of whose certificates are revoked, it is, too."""
        device = self._welcome(device_id, transport)
        if device.revoked:
            raise RefusedError(RefusalReason.REVOKED)
        return device

    def _standing(self, device_id: str) -> Device:
        if device_id in self._barred:
            raise RefusedError(RefusalReason.SUSPENDED, self._barred[device_id])
        if self._directory is None:
            return Device(device_id)
        device = self._directory.get(device_id)
        if device is None:
            if self._config.unknown_devices == "admit":
                return Device(device_id)
            raise RefusedError(RefusalReason.UNKNOWN_DEVICE)
        match device.standing:
            case Standing.EXPECTED | Standing.ENROLLED | Standing.ACTIVE:
                return device
            case Standing.SUSPENDED | Standing.RETIRED:
                raise RefusedError(RefusalReason.SUSPENDED)
            case _:
                assert_never(device.standing)

    def _register(self, session: LiveSession, live: Live) -> None:
        self.leave(session)
        self._audit.admitted(live.device.device_id, live.transport, live.peer)
        self.live.add(session, live)
        self.on_live(live.device.device_id, session)

    def _end_revoked(self) -> int:
        # What an earlier sweep has not seen yet is among these, too.
        self._unswept = self.live.marks()
        return self._sweep()

    def _sweep(self) -> int:
        part = self._unswept[-SWEEP_MARKS:]
        del self._unswept[-SWEEP_MARKS:]
        if self._unswept:
            asyncio.get_running_loop().call_soon(self._sweep)
        hit = self._revoked.among(part)
        devices = {
            self.live[session].device.device_id
            for mark in hit
            for session in self.live.marked(mark)  # it may have left meanwhile
        }
        ended = 0
        for mark in hit:
            ended += self._end(self.live.marked(mark), RefusalReason.REVOKED)
        for device_id in devices:
            device = self.device(device_id)
            if device is not None and device.dismissed:
                self._dismiss(device_id)
        return ended

    def _dismiss(self, device_id: str) -> None:
        # A session of a certificate that is not on our list yet ends with that list.
        if device_id not in self.live:
            self.on_dismissed(device_id)

    def _end_if(self, device_id: str, applies: Callable[[Live], bool], reason: str) -> int:
        hit = [each for each in self.live.of(device_id) if applies(self.live[each])]
        return self._end(hit, reason)

    def _end(self, sessions: Iterable[LiveSession], reason: str) -> int:
        ended = 0
        for session in sessions:
            live = self.live.get(session)
            if live is None:  # a driver's leave() ran while we were at it
                continue
            self.leave(session)
            device_id = live.device.device_id
            if reason in RefusalReason.ALL:
                self._counters.add("refused", reason, live.transport)
            self._audit.record(
                "session_ended",
                reason=reason,
                device=live.device.device_id,
                transport=live.transport,
            )
            level = logging.INFO if reason == MOVED else logging.WARNING
            log.log(level, "%s session of %s ended: %s", live.transport, device_id, reason)
            ended += 1
            try:
                session.kill(reason)
            except Exception:
                # A driver's fault must not save the next session from being ended.
                log.exception("a %s session could not be ended cleanly", live.transport)
        return ended


def _nobody(*_: object) -> None:
    """Nobody listens."""


def _may(device: Device, transport: str) -> bool:
    return device.transport in {"", PROTOCOLS.get(transport, transport)}


def _is_vouched_for(live: Live) -> bool:
    return not live.marks


def _strays(device: Device, live: Live) -> bool:
    return not _may(device, live.transport)


def _moved(now: Device, live: Live) -> bool:
    was = live.device
    return (was.kind, was.ward, was.bed) != (now.kind, now.ward, now.bed)
