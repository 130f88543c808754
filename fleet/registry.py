"""Devices, their certificates, and who is revoked.

Rules:

* The store changes first, durably; then memory; then whoever listens is told.
* A certificate is noted in the store before it is handed out: there is none that can't be revoked.
* One change at a time; reads are from memory, on the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import NamedTuple, TypeVar

import msgspec
from cryptography import x509

from fleet.config import FleetConfig
from fleet.enrolment_store import EnrolmentStore
from fleet.store import CredentialRow, DeviceRow, KnownError, NotKnownError, Store
from gateway.domain.devices import Standing
from gateway.domain.errors import MalformedError
from gateway.domain.network import Binding
from gateway.domain.ports import Clock
from security import pki
from security.identity import Auditor
from security.names import Identity, Role, is_id
from security.pki import Hierarchy, Issued, Subject, Validity
from security.revocations import RevocationList, sign_list

WORD_CHARS_MAX = 64
"""Kind, ward, bed, firmware: words for tables and labels."""
REASON_CHARS_MAX = 200
TRANSPORTS = ("", "mqtt", "coaps", "mllp", "llrp", "serial", "lan", "broker")

T = TypeVar("T")
log = logging.getLogger(__name__)


class Change(NamedTuple):
    """What an operator wants to be different; None leaves it."""

    kind: str | None = None
    ward: str | None = None
    bed: str | None = None
    expected_firmware: str | None = None
    standing: Standing | None = None
    transport: str | None = None
    network: Binding | None = None


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
        site: Hierarchy,
        config: FleetConfig,
        clock: Clock,
        audit: Auditor,
    ) -> None:
        """Take the collaborators; ``threads`` has one thread, the store's."""
        self._store = store
        self._threads = threads
        self._site = site
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
        return self._site.present.trust_domain

    @property
    def _authority(self) -> pki.Authority:
        return self._site.signing

    @property
    def signers(self) -> Sequence[pki.Authority]:
        """The issuing CAs that sign certificates and lists."""
        return self._site.authorities

    @property
    def issuers(self) -> Sequence[x509.Certificate]:
        """The issuing CAs whose certificates are in use."""
        return tuple(each.certificate for each in self._site.authorities)

    @property
    def site(self) -> Hierarchy:
        """The authorities in force."""
        return self._site

    async def adopt(self, site: Hierarchy) -> None:
        """Go on with another phase of the authorities, or others."""
        before, self._site = self._site, site
        self._audit.record(
            "authorities", phase=site.phase, signing=site.signing.id, retired=len(site.retired)
        )
        log.info("authorities: %s, signing is %s", site.phase, site.signing.id)
        if before.retired != site.retired:
            await self.refresh_revocations()
        else:
            self._tell()

    def certify(self, subject: Subject, key: pki.PublicKey, validity: Validity) -> Issued:
        """A certificate, which must be noted before it is handed out; any thread."""
        return pki.issue(self._authority, subject, key, validity)

    async def load(self) -> None:
        """Read the store and sign the revocations."""
        self.devices = {row.device_id: row for row in await self.run(self._store.devices)}
        self.directory_version = await self.run(self._store.number, "directory")
        self.revoked_devices = await self.run(self._store.without_good_credential, Role.DEVICE)
        await self.refresh_revocations()

    async def look(self) -> None:
        """Read the devices alone, to look at them beside the service that has the store."""
        self.devices = {row.device_id: row for row in await self.run(self._store.devices)}

    def listen(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` after every change of directory or revocations."""
        self._listeners.append(changed)

    def is_revoked(self, identity: Identity) -> bool:
        """Whether a certificate was revoked, or whoever issued it."""
        return identity.is_in(self.revocations.serials)

    async def add_device(
        self, device: DeviceRow, csr: bytes, days: float, by: str, *, resume: bool = False
    ) -> tuple[DeviceRow, Issued | None]:
        """Register a device; with a certificate request, issue its certificate.

        With ``resume`` a device that is registered with the same words is taken as if it were
        added now, and the key that it has a certificate for gets that one again.

        Raises:
            KnownError: it is registered already, or has a certificate for another key.
            MalformedError: ``device``, ``csr``, ``csr_signature``, ``csr_key`` or ``days``.
        """
        _check(device)
        key = pki.read_csr(csr) if csr else None
        device = device._replace(standing=Standing.EXPECTED, added_us=self._clock.now_us())
        async with self._changing:
            present = self.devices.get(device.device_id)
            if present is None:
                if len(self.devices) >= self._config.limits.devices_max:
                    raise MalformedError("device", "limits.devices_max is reached")
                self._days(days)
                self.directory_version = await self.run(self._store.add_device, device)
                self.devices[device.device_id] = device
            elif not resume or _words(device) != _words(present):
                other = ", with other words" if resume else ""
                raise KnownError(f"device {device.device_id} is registered already{other}")
            else:
                device = present
            issued = await self.run(self._grant, device.device_id, key, days) if key else None
            if issued and device.standing is Standing.EXPECTED:
                device = device._replace(standing=Standing.ENROLLED)
                self.devices[device.device_id] = device
        event = "device_added" if present is None else "device_resumed"
        self._audit.record(event, by=by, device=device.device_id, **_serial(issued))
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
            device = self.known(device_id)
            issued = self._issue(device_id, key, days)
            await self._note(issued, Role.DEVICE, device_id)
            if device_id in self.revoked_devices:
                self.directory_version = await self.run(self._store.directory_changed)
                self.revoked_devices -= {device_id}
        self._audit.record("device_renewed", by=by, device=device_id, **_serial(issued))
        self._tell()
        return device, issued

    async def update_device(self, device_id: str, change: Change, by: str) -> DeviceRow:
        """Change what is registered of a device.

        Raises:
            NotKnownError: it is not registered.
            KnownError: another has its SUPI, GPSI or IMEI.
            MalformedError: ``device``.
        """
        async with self._changing:
            device = self.known(device_id)
            wanted = {name: value for name, value in change._asdict().items() if value is not None}
            told = _changed(device, wanted)
            device = device._replace(**wanted)
            _check(device)
            self.directory_version = await self.run(self._store.update_device, device)
            self.devices[device_id] = device
        self._audit.record(
            "device_updated",
            by=by,
            device=device_id,
            changed=told,
            standing=device.standing,
        )
        self._tell()
        return device

    async def revoke(  # who, what, why, and with what
        self,
        role: Role,
        name: str,
        serial: int | None,
        reason: str,
        by: str,
        *,
        within: Callable[[], None] | None = None,
        known: bool = False,
    ) -> Revoked:
        """Revoke every good certificate of a holder, or the one with ``serial``.

        A device that never had one (a port or a broker vouches for it) is suspended instead. The
        holder is ``known`` when it may be without any; ``within`` is as in :meth:`Store.revoke`.

        Raises:
            NotKnownError: there is no such certificate, and no such device.
        """
        async with self._changing:
            issued = await self.run(self._store.credentials, role, name)
            if role is Role.DEVICE and not issued and serial is None:
                await self._suspend(self.known(name), reason, by)
                return Revoked((), suspended=True)
            if serial not in (None, *(row.serial for row in issued)) or not (issued or known):
                raise NotKnownError(f"no such certificate of {role} {name}")
            hit = [
                row.serial
                for row in issued
                if not row.revoked_us and (serial is None or row.serial == serial)
            ]
            if hit or within is not None:
                await self.run(self._store.revoke, hit, reason[:REASON_CHARS_MAX], within)
        for each in hit:
            self._audit.record(
                "revoked", by=by, role=role, id=name, serial=f"{each:X}", reason=reason
            )
        await self.refresh_revocations()
        return Revoked(tuple(hit))

    def selected(self, names: Iterable[str], ward: str, every: bool) -> list[str]:
        """The devices that a bulk call means, by id: those of a list, of a ward, or all in service.

        Raises:
            MalformedError: ``devices``: not exactly one of the three.
            NotKnownError: one of the list is not registered, or nothing is left.
        """
        wanted = sorted(set(names))
        if (bool(wanted), bool(ward), every).count(True) != 1:
            raise MalformedError("devices", "name devices, or a ward, or all")
        if wanted:
            return [self.known(name).device_id for name in wanted]
        found = sorted(
            device.device_id
            for device in self.devices.values()
            if (every or device.ward == ward)
            and device.device_id not in self.revoked_devices
            and device.standing is not Standing.RETIRED
        )
        if not found:
            raise NotKnownError("no such device is in service")
        return found

    async def revoke_devices(
        self,
        names: Sequence[str],
        reason: str,
        by: str,
        within: Callable[[], None] | None = None,
    ) -> None:
        """Revoke devices as :meth:`revoke` does, all of them or none, in one transaction.

        Raises:
            NotKnownError: one is not registered.
        """
        async with self._changing:
            devices = [self.known(name) for name in names]
            suspended = await self.run(self._revoke_devices, devices, reason, within)
            self.devices.update((each.device_id, each) for each in suspended)
            self.directory_version = await self.run(self._store.number, "directory")
        for name in names:
            self._audit.record("revoked", by=by, role=Role.DEVICE, id=name, reason=reason)
        await self.refresh_revocations()

    def _revoke_devices(
        self, devices: Sequence[DeviceRow], reason: str, within: Callable[[], None] | None
    ) -> list[DeviceRow]:
        """On the store's thread; returns those that had no certificate."""
        serials: list[int] = []
        suspended: list[DeviceRow] = []
        with self._store.transaction():
            for device in devices:
                issued = self._store.credentials(Role.DEVICE, device.device_id)
                serials += [row.serial for row in issued if not row.revoked_us]
                if not issued and device.standing is not Standing.RETIRED:
                    suspended.append(device._replace(standing=Standing.SUSPENDED))
            for device in suspended:
                self._store.update_device(device)
            self._store.revoke(serials, reason[:REASON_CHARS_MAX], within)
        return suspended

    async def _suspend(self, device: DeviceRow, reason: str, by: str) -> None:
        if device.standing not in {Standing.SUSPENDED, Standing.RETIRED}:
            device = device._replace(standing=Standing.SUSPENDED)
            self.directory_version = await self.run(self._store.update_device, device)
            self.devices[device.device_id] = device
        self._audit.record(
            "revoked", by=by, role=Role.DEVICE, id=device.device_id, serial="", reason=reason
        )
        self._tell()

    async def credentials(self, role: Role, name: str) -> list[CredentialRow]:
        """All certificates of a holder."""
        return await self.run(self._store.credentials, role, name)

    async def credential(self, serial: int) -> CredentialRow | None:
        """What was noted of one certificate."""
        return await self.run(self._store.credential, serial)

    async def enrol(
        self, role: Role, name: str, check: Callable[[], None], grant: Callable[[], T]
    ) -> T:
        """Have the store note a certificate, and know it from then on.

        ``check`` is called when nothing can change any more, so that a revocation or suspension
        comes either before it, or finds the certificate.

        Raises:
            Whatever ``check`` and ``grant`` raise; then nothing has changed.
        """
        known_bad = False
        async with self._changing:
            check()
            granted = await self.run(grant)
            if role is Role.DEVICE:
                device = self.devices[name]
                if device.standing is Standing.EXPECTED:
                    self.devices[name] = device._replace(standing=Standing.ENROLLED)
                known_bad = name in self.revoked_devices
            if known_bad:
                self.directory_version = await self.run(self._store.directory_changed)
                self.revoked_devices -= {name}
        if known_bad:
            self._tell()
        return granted

    async def activate(self, device_ids: Sequence[str]) -> None:
        """Note that devices were heard of."""
        async with self._changing:
            await self.run(self._store.mark_active, device_ids)
            for device_id in device_ids:
                device = self.devices[device_id]
                if device.standing in {Standing.EXPECTED, Standing.ENROLLED}:
                    self.devices[device_id] = device._replace(standing=Standing.ACTIVE)

    async def refresh_revocations(self) -> None:
        """Sign the list anew, of what is in the store now."""
        async with self._changing:
            # The issuing CA's own key: 40 ms for 100,000 entries, so not on the loop's thread.
            self.revocations, self.revocations_signed = await self.run(self._sign)
            revoked = await self.run(self._store.without_good_credential, Role.DEVICE)
            if revoked != self.revoked_devices:
                self.directory_version = await self.run(self._store.directory_changed)
                self.revoked_devices = revoked
        self._tell()

    def _sign(self) -> tuple[RevocationList, bytes]:
        now_us = self._clock.now_us()
        # What has ended is refused for that; a day more for gateways with a slow clock.
        serials = self._store.revoked(now_us - 86_400 * 1_000_000)
        serials |= self._site.void(pki.moment(now_us))
        number = self._store.number("revocations") + 1  # 0 means none, for a gateway
        signed = RevocationList(number, now_us, serials)
        return signed, sign_list(self._site.list_signer, signed)

    def known(self, device_id: str) -> DeviceRow:
        """A registered device.

        Raises:
            NotKnownError: it is not registered.
        """
        device = self.devices.get(device_id)
        if device is None:
            raise NotKnownError(f"device {device_id} is not registered")
        return device

    def _days(self, days: float) -> float:
        enrolment = self._config.enrolment
        if days > enrolment.days_max:
            raise MalformedError("days", f"at most {enrolment.days_max:g} (enrolment.days_max)")
        return days or enrolment.device_days

    def _grant(self, device_id: str, key: pki.PublicKey, days: float) -> Issued:
        """Note a certificate for a device that has none; on the store's thread."""
        made: list[Issued] = []

        def issue() -> tuple[Issued, CredentialRow]:
            now_us = self._clock.now_us()
            if any(
                not row.revoked_us and row.not_after_us > now_us
                for row in self._store.credentials(Role.DEVICE, device_id)
            ):
                raise KnownError(f"device {device_id} has a certificate for another key")
            made.append(self._issue(device_id, key, days))
            return made[0], credential_row(made[0], Role.DEVICE, device_id, now_us)

        granted = EnrolmentStore(self._store).grant(Role.DEVICE, device_id, key, issue)
        if made:
            return made[0]
        return self._as_issued(granted.certificate)

    def _as_issued(self, certificate: x509.Certificate) -> Issued:
        """A certificate of before, with what its holder sends and trusts now."""
        issuers = [
            each
            for each in self._site.authorities
            if each.certificate.subject == certificate.issuer
        ]
        authority, signing = (*issuers, self._authority)[0], self._authority
        cross = signing.cross if authority.id == signing.id else ()
        return Issued(certificate, authority.certificate, authority.root, cross, signing.trust)

    def _issue(self, device_id: str, key: pki.PublicKey, days: float) -> Issued:
        now = pki.moment(self._clock.now_us())
        validity = Validity.days(now, self._days(days))
        return self.certify(Subject(Role.DEVICE, device_id), key, validity)

    async def _note(self, issued: Issued | None, role: Role, name: str) -> None:
        if issued is not None:
            row = credential_row(issued, role, name, self._clock.now_us())
            await self.run(self._store.add_credential, row)

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()

    def run(self, call: Callable[..., T], *args: object) -> Awaitable[T]:
        """Call a function of the store on its thread."""
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *args)


def credential_row(issued: Issued, role: Role, name: str, now_us: int) -> CredentialRow:
    """What the store notes of a certificate."""
    not_after_us = round(issued.certificate.not_valid_after_utc.timestamp() * 1e6)
    issuer = pki.authority_id(issued.issuer)
    return CredentialRow(issued.serial, role, name, now_us, not_after_us, issuer=issuer)


def _check(device: DeviceRow) -> None:
    if not is_id(device.device_id):
        raise MalformedError("device", f"not an id: {device.device_id!r}")
    words = (device.kind, device.ward, device.bed, device.expected_firmware)
    if any(len(word) > WORD_CHARS_MAX or not word.isprintable() for word in words):
        raise MalformedError("device", f"a word has more than {WORD_CHARS_MAX} characters")
    if device.transport not in TRANSPORTS:
        raise MalformedError("device", f"transport is one of {', '.join(TRANSPORTS[1:])}")


def _words(device: DeviceRow) -> tuple[object, ...]:
    """What an operator says of a device when it is added."""
    return (*device[:5], device.network)


def _changed(device: DeviceRow, wanted: Mapping[str, object]) -> str:
    """Which words change, for the audit log; of the network's each, but no value."""
    words = [name for name in wanted if name != "network"]
    network = wanted.get("network")
    if isinstance(network, Binding):
        before, after = (msgspec.structs.asdict(each) for each in (device.network, network))
        words += [name for name, value in after.items() if value != before[name]]
    return " ".join(words)


def _serial(issued: Issued | None) -> dict[str, str]:
    return {"serial": f"{issued.serial:X}"} if issued else {}
