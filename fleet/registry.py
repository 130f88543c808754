"""Devices, their certificates, and who is revoked.

Rules:

* The store changes first, durably; then memory; then whoever listens is told.
* A certificate is noted in the store before it is handed out: there is none that can't be revoked.
* One change at a time; reads are from memory, on the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from fleet.config import FleetConfig
from fleet.store import CredentialRow, DeviceRow, KnownError, NotKnownError, Store
from gateway.domain.devices import Standing
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock
from security import pki
from security.files import write_atomic
from security.identity import Auditor
from security.names import Role, is_id
from security.pki import Issued, Subject, Validity
from security.revocations import RevocationList, sign_list

WORD_CHARS_MAX = 64
"""Kind, ward, bed, firmware: words for tables and labels."""
REASON_CHARS_MAX = 200
TRANSPORTS = ("", "mqtt", "coaps", "serial", "broker")

T = TypeVar("T")
log = logging.getLogger(__name__)


class Change(NamedTuple):
    """What an operator wants to be different; None leaves it."""

    kind: str | None = None
    ward: str | None = None
    bed: str | None = None
    expected_firmware: str | None = None
    standing: Standing | None = None


class Revoked(NamedTuple):
    """What revoking did."""

    serials: tuple[int, ...]
    suspended: bool = False
    """A device without any certificate: it is kept out by its standing."""


class Registry:
    """Call :meth:`load` before anything else."""

    def __init__(  # its collaborators, each a port
        self,
        store: Store,
        threads: Executor,
        authority: pki.Authority,
        config: FleetConfig,
        clock: Clock,
        audit: Auditor,
    ) -> None:
        """Take the collaborators; ``threads`` has one thread, the store's."""
        self._store = store
        self._threads = threads
        self._authority = authority
        self._config = config
        self._clock = clock
        self._audit = audit
        self._changing = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self.devices: dict[str, DeviceRow] = {}
        self.directory_version = 0
        self.revoked_devices: frozenset[str] = frozenset()
        """Devices all of whose certificates are revoked."""
        self.revocations = RevocationList(0, 0, frozenset())
        self.revocations_signed = b""

    @property
    def trust_domain(self) -> str:
        return self._authority.trust_domain

    async def load(self) -> None:
        """Read the store and sign the revocations."""
        self.devices = {row.device_id: row for row in await self._run(self._store.devices)}
        self.directory_version = await self._run(self._store.number, "directory")
        self.revoked_devices = await self._run(self._store.without_good_credential, Role.DEVICE)
        await self.refresh_revocations()

    def listen(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` after every change of directory or revocations."""
        self._listeners.append(changed)

    def is_revoked(self, serial: int) -> bool:
        """Whether a certificate was revoked."""
        return serial in self.revocations.serials

    async def add_device(
        self, device: DeviceRow, csr: bytes, days: float, by: str
    ) -> tuple[DeviceRow, Issued | None]:
        """Register a device; with a certificate request, issue its certificate.

        Raises:
            KnownError: it is registered already.
            MalformedError: ``device``, ``csr``, ``csr_signature``, ``csr_key`` or ``days``.
        """
        _check(device)
        key = pki.read_csr(csr) if csr else None
        standing = Standing.ENROLLED if key else Standing.EXPECTED
        device = device._replace(standing=standing, added_us=self._clock.now_us())
        async with self._changing:
            if device.device_id in self.devices:
                raise KnownError(f"device {device.device_id} is registered already")
            if len(self.devices) >= self._config.limits.devices_max:
                raise MalformedError("device", "limits.devices_max is reached")
            issued = self._issue(device.device_id, key, days) if key else None
            self.directory_version = await self._run(self._store.add_device, device)
            self.devices[device.device_id] = device
            await self._note(issued, Role.DEVICE, device.device_id)
        self._audit.record("device_added", by=by, device=device.device_id, **_serial(issued))
        self._tell()
        return device, issued

    async def renew_device(
        self, device_id: str, csr: bytes, days: float, by: str
    ) -> tuple[DeviceRow, Issued]:
        """Issue a further certificate to a registered device; the others stay good.

        Raises:
            NotKnownError: it is not registered.
            MalformedError: as :meth:`add_device`.
        """
        key = pki.read_csr(csr)
        async with self._changing:
            device = self._known(device_id)
            issued = self._issue(device_id, key, days)
            await self._note(issued, Role.DEVICE, device_id)
            if device_id in self.revoked_devices:
                self.directory_version = await self._run(self._store.directory_changed)
                self.revoked_devices -= {device_id}
        self._audit.record("device_renewed", by=by, device=device_id, **_serial(issued))
        self._tell()
        return device, issued

    async def update_device(self, device_id: str, change: Change, by: str) -> DeviceRow:
        """Change what is registered of a device.

        Raises:
            NotKnownError: it is not registered.
            MalformedError: ``device``.
        """
        async with self._changing:
            device = self._known(device_id)
            wanted = {name: value for name, value in change._asdict().items() if value is not None}
            device = device._replace(**wanted)
            _check(device)
            self.directory_version = await self._run(self._store.update_device, device)
            self.devices[device_id] = device
        self._audit.record(
            "device_updated",
            by=by,
            device=device_id,
            changed=" ".join(wanted),
            standing=device.standing,
        )
        self._tell()
        return device

    async def revoke(
        self, role: Role, name: str, serial: int | None, reason: str, by: str
    ) -> Revoked:
        """Revoke every good certificate of a holder, or the one with ``serial``.

        A device that never had one (a port or a broker vouches for it) is suspended instead.

        Raises:
            NotKnownError: there is no such certificate, and no such device.
        """
        async with self._changing:
            issued = await self._run(self._store.credentials, role, name)
            if role is Role.DEVICE and not issued and serial is None:
                await self._suspend(self._known(name), reason, by)
                return Revoked((), suspended=True)
            if not issued or serial not in (None, *(row.serial for row in issued)):
                raise NotKnownError(f"no such certificate of {role} {name}")
            hit = [
                row.serial
                for row in issued
                if not row.revoked_us and (serial is None or row.serial == serial)
            ]
            if hit:
                await self._run(self._store.revoke, hit, reason[:REASON_CHARS_MAX])
        for each in hit:
            self._audit.record(
                "revoked", by=by, role=role, id=name, serial=f"{each:X}", reason=reason
            )
        await self.refresh_revocations()
        return Revoked(tuple(hit))

    async def _suspend(self, device: DeviceRow, reason: str, by: str) -> None:
        if device.standing not in {Standing.SUSPENDED, Standing.RETIRED}:
            device = device._replace(standing=Standing.SUSPENDED)
            self.directory_version = await self._run(self._store.update_device, device)
            self.devices[device.device_id] = device
        self._audit.record(
            "revoked", by=by, role=Role.DEVICE, id=device.device_id, serial="", reason=reason
        )
        self._tell()

    async def credentials(self, role: Role, name: str) -> list[CredentialRow]:
        """All certificates of a holder."""
        return await self._run(self._store.credentials, role, name)

    async def activate(self, device_ids: Sequence[str]) -> None:
        """Note that devices were heard of."""
        async with self._changing:
            await self._run(self._store.mark_active, device_ids)
            for device_id in device_ids:
                device = self.devices[device_id]
                if device.standing in {Standing.EXPECTED, Standing.ENROLLED}:
                    self.devices[device_id] = device._replace(standing=Standing.ACTIVE)

    async def refresh_revocations(self) -> None:
        """Sign the list anew, of what is in the store now."""
        async with self._changing:
            # The issuing CA's own key: 40 ms for 100,000 entries, so not on the loop's thread.
            self.revocations, self.revocations_signed = await self._run(self._sign)
            revoked = await self._run(self._store.without_good_credential, Role.DEVICE)
            if revoked != self.revoked_devices:
                self.directory_version = await self._run(self._store.directory_changed)
                self.revoked_devices = revoked
        self._tell()

    def _sign(self) -> tuple[RevocationList, bytes]:
        now_us = self._clock.now_us()
        # What has ended is refused for that; a day more for gateways with a slow clock.
        serials = self._store.revoked(now_us - 86_400 * 1_000_000)
        number = self._store.number("revocations") + 1  # 0 means none, for a gateway
        signed = RevocationList(number, now_us, serials)
        if self._config.revoked_serials is not None:
            export_serials(self._config.revoked_serials, serials)
        return signed, sign_list(self._authority, signed)

    def _known(self, device_id: str) -> DeviceRow:
        device = self.devices.get(device_id)
        if device is None:
            raise NotKnownError(f"device {device_id} is not registered")
        return device

    def _issue(self, device_id: str, key: ec.EllipticCurvePublicKey, days: float) -> Issued:
        enrolment = self._config.enrolment
        if days > enrolment.days_max:
            raise MalformedError("days", f"at most {enrolment.days_max:g} (enrolment.days_max)")
        now = pki.moment(self._clock.now_us())
        validity = Validity.days(now, days or enrolment.device_days)
        return pki.issue(self._authority, Subject(Role.DEVICE, device_id), key, validity)

    async def _note(self, issued: Issued | None, role: Role, name: str) -> None:
        if issued is not None:
            row = credential_row(issued, role, name, self._clock.now_us())
            await self._run(self._store.add_credential, row)

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()

    def _run(self, call: Callable[..., T], *args: object) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *args)


def credential_row(issued: Issued, role: Role, name: str, now_us: int) -> CredentialRow:
    """What the store notes of a certificate."""
    not_after_us = round(issued.certificate.not_valid_after_utc.timestamp() * 1e6)
    return CredentialRow(issued.serial, role, name, now_us, not_after_us)


def export_serials(path: Path, serials: frozenset[int]) -> None:
    """Write revoked serial numbers, one in hexadecimal a line, atomically."""
    write_atomic(path, "".join(f"{serial:X}\n" for serial in sorted(serials)).encode())


def _check(device: DeviceRow) -> None:
    if not is_id(device.device_id):
        raise MalformedError("device", f"not an id: {device.device_id!r}")
    words = (device.kind, device.ward, device.bed, device.expected_firmware)
    if any(len(word) > WORD_CHARS_MAX or not word.isprintable() for word in words):
        raise MalformedError("device", f"a word has more than {WORD_CHARS_MAX} characters")
    if device.transport not in TRANSPORTS:
        raise MalformedError("device", f"transport is one of {', '.join(TRANSPORTS[1:])}")


def _serial(issued: Issued | None) -> dict[str, str]:
    return {"serial": f"{issued.serial:X}"} if issued else {}
