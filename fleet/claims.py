"""Manufacturers whose birth certificates are believed, and what they made.

Rules:

* A manufacturer's certificate (IDevID, IEEE 802.1AR) says what a thing is: its manufacturer and
  serial number. Which device that is, an operator says, before it first asks or after: a claim.
* Claims are limited in number, and forgotten when nobody repeats them.
* Manufacturers' certificates count on the enrolment listener alone. Their revocation lists are
  not looked at: whoever doubts a thing rejects its claim, or revokes its device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fleet.askers import Manufactured, Reason
from fleet.config import EnrolmentTable
from fleet.enrolment_store import ClaimRow, EnrolmentStore, ManufacturerRow
from fleet.registry import Registry
from fleet.store import KnownError, NotKnownError
from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from gateway.domain.ports import Clock
from security import chains, est, pki
from security.identity import Auditor
from security.names import UNREADABLE, is_id

SERIAL_NUMBER_CHARS_MAX = 64
"""RFC 5280, ub-serial-number."""
SUBJECT_CHARS_MAX = 200
ROOT_BYTES_MAX = 16 * 1024
CLAIM_RETRY_S = 60
DAY_US = 24 * 3_600_000_000


class Claims:
    """Call :meth:`load` before anything else; used on the loop's thread."""

    def __init__(  # its collaborators, each a port
        self,
        store: EnrolmentStore,
        registry: Registry,
        roots: Callable[[], Sequence[x509.Certificate]],
        config: EnrolmentTable,
        clock: Clock,
        audit: Auditor,
    ) -> None:
        """Take the collaborators; ``roots`` are those of our own trust domain, now."""
        self._store = store
        self._registry = registry
        self.roots = roots
        self._config = config
        self._clock = clock
        self._audit = audit
        self._manufacturers: dict[str, x509.Certificate] = {}
        self._listeners: list[Callable[[], None]] = []

    async def load(self) -> None:
        """Read who is believed."""
        rows = await self._registry.run(self._store.manufacturers)
        self._manufacturers = {row.name: x509.load_der_x509_certificate(row.root) for row in rows}

    def listen(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` when another manufacturer is believed, or one no longer."""
        self._listeners.append(changed)

    @property
    def births(self) -> bytes:
        """The manufacturers' roots, PEM."""
        return pki.to_pem(*self._manufacturers.values())

    # Operators

    def check_manufacturer(self, name: str, root_pem: bytes) -> x509.Certificate:
        """Whether a manufacturer's root could be believed; returns it.

        Raises:
            KnownError: the name is there already.
            MalformedError: ``manufacturer``: no such name, or no root certificate.
        """
        if not is_id(name):
            raise MalformedError("manufacturer", f"not a name: {name!r}")
        if len(self._manufacturers) >= self._config.manufacturers_max:
            raise MalformedError("manufacturer", "enrolment.manufacturers_max is reached")
        root = _root(root_pem)
        if any(root.public_key() == ours.public_key() for ours in self.roots()):
            raise MalformedError("manufacturer", "that is our own root")
        if name in self._manufacturers:
            raise KnownError(f"manufacturer {name} is known already")
        return root

    async def add_manufacturer(
        self, name: str, root_pem: bytes, by: str, within: Callable[[], None] | None = None
    ) -> ManufacturerRow:
        """Believe the certificates of a manufacturer's root; ``within`` as in the store.

        Raises:
            KnownError: the name or the certificate is there already.
            MalformedError: ``manufacturer``: no such name, or no root certificate.
        """
        root = self.check_manufacturer(name, root_pem)
        der = root.public_bytes(Encoding.DER)
        row = ManufacturerRow(name, der, self._clock.now_us(), by)
        await self._registry.run(self._store.add_manufacturer, row, within)
        self._manufacturers[name] = root
        self._audit.record(
            "manufacturer_added", by=by, manufacturer=name, sha256=hashlib.sha256(der).hexdigest()
        )
        self._tell()
        return row

    async def remove_manufacturer(self, name: str, by: str) -> None:
        """Believe a manufacturer no longer; certificates that devices got stay good.

        Raises:
            NotKnownError: there is none of this name.
        """
        await self._registry.run(self._store.remove_manufacturer, name)
        self._manufacturers.pop(name, None)
        self._audit.record("manufacturer_removed", by=by, manufacturer=name)
        self._tell()

    async def manufacturers(self) -> list[ManufacturerRow]:
        """Everyone who is believed."""
        return await self._registry.run(self._store.manufacturers)

    async def bind(self, manufacturer: str, serial_number: str, device_id: str, by: str) -> None:
        """Say which device a manufactured thing is.

        Raises:
            NotKnownError, KnownError: as :meth:`EnrolmentStore.bind`.
            MalformedError: ``serial_number``.
        """
        self.check(manufacturer, serial_number)
        now_us = self._clock.now_us()
        await self._registry.run(
            self._store.bind, manufacturer, serial_number, device_id, now_us, by
        )
        self._audit.record(
            "bound", by=by, device=device_id, manufacturer=manufacturer, serial=serial_number
        )

    def check(self, manufacturer: str, serial_number: str) -> None:
        """Whether something can be bound by these words.

        Raises:
            NotKnownError: no such manufacturer.
            MalformedError: ``serial_number``.
        """
        if manufacturer not in self._manufacturers:
            raise NotKnownError(f"no manufacturer {manufacturer}")
        if not 0 < len(serial_number) <= SERIAL_NUMBER_CHARS_MAX:
            raise MalformedError("serial_number", "not a serial number")

    async def claims(self) -> list[ClaimRow]:
        """Who wants to be let in, those included that were rejected."""
        await self._forget_claims()
        return await self._registry.run(self._store.claims)

    async def claim(self, claim_id: int) -> ClaimRow:
        """One claim.

        Raises:
            NotKnownError: there is none.
        """
        return await self._registry.run(self._store.claim_of, claim_id)

    async def reject(self, claim_id: int, by: str) -> ClaimRow:
        """Refuse a claim until it is forgotten.

        Raises:
            NotKnownError: there is none.
        """
        found = await self._registry.run(self._store.reject, claim_id, by)
        self._audit.record(
            "claim_rejected",
            by=by,
            manufacturer=found.manufacturer,
            serial=found.serial_number,
        )
        return found

    # Things that ask

    def by_birth(self, chain_der: Sequence[bytes]) -> Manufactured:
        """Whoever has a certificate of a manufacturer that is believed.

        Raises:
            RefusedError: ``untrusted`` or ``expired``.
            MalformedError: ``certificate``, or ``serial_number``: its subject names none.
        """
        chain = chains.read_chain(chain_der)
        roots = self._manufacturers
        at = pki.moment(self._clock.now_us())
        root = chains.verify(chain, roots.values(), at, strict=False)
        manufacturer = next(name for name, each in roots.items() if each == root)
        try:
            authority, subject = _is_authority(chain[0]), chain[0].subject
        except UNREADABLE as error:
            # OpenSSL, which verified it, reads no more of it than it needs.
            raise MalformedError("certificate", "unreadable") from error
        if authority:
            raise RefusedError(RefusalReason.UNTRUSTED, "an authority, not a device")
        numbers = subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
        number = str(numbers[0].value) if len(numbers) == 1 else ""
        if not (0 < len(number) <= SERIAL_NUMBER_CHARS_MAX and number.isprintable()):
            raise MalformedError("serial_number", "its subject has not one serialNumber")
        names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return Manufactured(
            manufacturer,
            number,
            subject.rfc4514_string()[:SUBJECT_CHARS_MAX],
            frozenset(str(each.value) for each in names),
        )

    async def device_of(self, asker: Manufactured) -> str:
        """The device that this is; empty while nobody has said."""
        return await self._registry.run(
            self._store.device_of, asker.manufacturer, asker.serial_number
        )

    async def ask(self, asker: Manufactured, peer: str) -> est.Pending:
        """Note that something unknown wants to be let in.

        Raises:
            RefusedError: ``claims_full`` or ``claim_rejected``.
        """
        await self._forget_claims()
        now_us = self._clock.now_us()
        claim = ClaimRow(
            0, asker.manufacturer, asker.serial_number, asker.subject, peer, now_us, now_us
        )
        noted = await self._registry.run(self._store.claim, claim, self._config.claims_max)
        if noted is None:
            raise RefusedError(Reason.CLAIMS_FULL)
        if noted.rejected_by:
            raise RefusedError(Reason.CLAIM_REJECTED)
        if noted.first_us == now_us:
            self._audit.record(
                "claimed", manufacturer=asker.manufacturer, serial=asker.serial_number, peer=peer
            )
        return est.Pending(CLAIM_RETRY_S)

    async def _forget_claims(self) -> None:
        before_us = self._clock.now_us() - round(self._config.claim_days * DAY_US)
        await self._registry.run(self._store.drop_claims, before_us)

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()


def _root(pem: bytes) -> x509.Certificate:
    if len(pem) > ROOT_BYTES_MAX:
        raise MalformedError("manufacturer", "too large")
    try:
        (root,) = x509.load_pem_x509_certificates(pem)
        root.verify_directly_issued_by(root)
        authority = _is_authority(root)
    except (*UNREADABLE, InvalidSignature) as error:
        raise MalformedError(
            "manufacturer", "not one self-signed certificate of a root, PEM"
        ) from error
    if not authority:
        raise MalformedError("manufacturer", "not the certificate of an authority")
    return root


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
