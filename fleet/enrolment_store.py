"""What enrolment keeps, in the fleet's store: tokens, manufacturers, claims, certificates.

Rules:

* A token is kept as a hash. It is used up in the transaction that notes its certificate, so that
  no crash lets it be used twice, or lose it unused.
* A token brings no device back that was revoked after the token was made.
* Whoever comes again with the same key is given the certificate that was issued for it.
* One thread at a time, the one of :class:`fleet.store.Store`.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fleet.store import CredentialRow, KnownError, NotKnownError, Store, serial_text
from gateway.domain.devices import Standing
from gateway.domain.errors import RefusalReason, RefusedError
from security.names import Role
from security.pki import Issued, PublicKey

REPEAT_US = 24 * 3_600_000_000
"""Who asks again with the same key within a day has lost the answer."""


class TokenRow(NamedTuple):
    """A device's newest token."""

    device_id: str
    token_sha256: bytes
    issued_us: int
    expires_us: int
    issued_by: str
    used_us: int = 0
    serial: str = ""


class ManufacturerRow(NamedTuple):
    """Whose birth certificates are believed."""

    name: str
    root: bytes
    """DER."""
    added_us: int
    added_by: str


class ClaimRow(NamedTuple):
    """Something manufactured that wants to be let in."""

    claim_id: int
    manufacturer: str
    serial_number: str
    subject: str
    peer: str
    first_us: int
    last_us: int
    rejected_by: str = ""


class Granted(NamedTuple):
    """A certificate, and whether it was issued just now."""

    certificate: x509.Certificate
    fresh: bool


Issue = Callable[[], tuple[Issued, CredentialRow]]
"""Makes a certificate; called within the transaction that notes it."""


def key_digest(key: PublicKey) -> bytes:
    """SHA-256 of a SubjectPublicKeyInfo."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


class EnrolmentStore:
    """A view of the store for enrolment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._db = store.db

    # Certificates

    def grant(self, role: Role, name: str, key: PublicKey, issue: Issue) -> Granted:
        """A new certificate, noted; or the one that was issued for this key a short while ago.

        Raises:
            Whatever ``issue`` raises; then nothing is noted.
        """
        with self._store.transaction():
            kept = self._kept(role, name, key, self._store.now_us() - REPEAT_US)
            return Granted(kept, fresh=False) if kept else self._grant(role, name, key, issue)

    def grant_for_token(
        self, token: TokenRow, key: PublicKey, now_us: int, issue: Issue
    ) -> Granted:
        """As :meth:`grant`, for a device, and use its token up in the same transaction.

        Raises:
            NotKnownError: the token was used for another key, or replaced meanwhile.
            RefusedError: ``revoked``: the whole device was, since the token was made.
        """
        with self._store.transaction():
            present = self.token(token.device_id)
            if present is None or present.token_sha256 != token.token_sha256:
                raise NotKnownError("the token was replaced")
            if present.used_us:
                kept = self._kept(Role.DEVICE, token.device_id, key, present.issued_us)
                if kept is None:
                    raise NotKnownError("the token was used")
                return Granted(kept, fresh=False)
            if self._revoked_since(token.device_id, present.issued_us):
                raise RefusedError(RefusalReason.REVOKED, "since its token was made")
            granted = self._grant(Role.DEVICE, token.device_id, key, issue)
            self._db.execute(
                "UPDATE tokens SET used_us=?, serial=? WHERE device_id=?",
                (now_us, serial_text(granted.certificate.serial_number), token.device_id),
            )
            return granted

    def renew(self, serial: int, key: PublicKey, issue: Issue) -> Granted:
        """A new certificate, noted, for the holder of the one with ``serial``.

        Raises:
            NotKnownError: it was not noted, or was revoked.
        """
        with self._store.transaction():
            present = self._store.credential(serial)
            if present is None or present.revoked_us:
                raise NotKnownError("no good certificate")
            return self._issue(key, issue)

    def drop_ended(self, before_us: int) -> None:
        """Forget certificates that have ended; that they were issued stays known."""
        with self._store.transaction():
            self._db.execute(
                "DELETE FROM certificates WHERE serial IN"
                " (SELECT serial FROM credentials WHERE not_after_us < ?)",
                (before_us,),
            )

    def _grant(self, role: Role, name: str, key: PublicKey, issue: Issue) -> Granted:
        granted = self._issue(key, issue)
        if role is Role.DEVICE:
            self._db.execute(
                "UPDATE devices SET standing=? WHERE device_id=? AND standing=?",
                (str(Standing.ENROLLED), name, str(Standing.EXPECTED)),
            )
        return granted

    def _revoked_since(self, device_id: str, since_us: int) -> bool:
        """Whether a device has no good certificate, and lost the last one after a time.

        Who revokes a device need not know of a token that somebody else made and nobody used.
        """
        now_us = self._store.now_us()
        issued = self._store.credentials(Role.DEVICE, device_id)
        good = any(not each.revoked_us and each.not_after_us > now_us for each in issued)
        return not good and any(each.revoked_us > since_us for each in issued)

    def _issue(self, key: PublicKey, issue: Issue) -> Granted:
        issued, credential = issue()
        self._store.insert_credential(credential)
        self._db.execute(
            "INSERT INTO certificates VALUES (?,?,?)",
            (
                serial_text(issued.serial),
                key_digest(key),
                issued.certificate.public_bytes(Encoding.DER),
            ),
        )
        return Granted(issued.certificate, fresh=True)

    def _kept(
        self, role: Role, name: str, key: PublicKey, issued_after_us: int
    ) -> x509.Certificate | None:
        row = self._db.execute(
            "SELECT der FROM certificates JOIN credentials USING (serial)"
            " WHERE key_sha256=? AND role=? AND id=? AND revoked_us=0 AND not_after_us > ?"
            " AND issued_us >= ? ORDER BY issued_us DESC",
            (key_digest(key), str(role), name, self._store.now_us(), issued_after_us),
        ).fetchone()
        return x509.load_der_x509_certificate(row[0]) if row else None

    # Tokens

    def put_token(self, token: TokenRow) -> None:
        """Give a device a token; the one before is void.

        Raises:
            NotKnownError: the device is not registered.
        """
        with self._store.transaction():
            try:
                self._db.execute("INSERT OR REPLACE INTO tokens VALUES (?,?,?,?,?,?,?)", token)
            except sqlite3.IntegrityError as error:
                raise NotKnownError(f"device {token.device_id} is not registered") from error

    def token(self, device_id: str) -> TokenRow | None:
        """A device's newest token, used or not."""
        row = self._db.execute("SELECT * FROM tokens WHERE device_id=?", (device_id,)).fetchone()
        return TokenRow(*row) if row else None

    # Manufacturers and what they made

    def manufacturers(self) -> list[ManufacturerRow]:
        """All of them, by name."""
        rows = self._db.execute("SELECT * FROM manufacturers ORDER BY name")
        return [ManufacturerRow(*row) for row in rows]

    def add_manufacturer(
        self, manufacturer: ManufacturerRow, within: Callable[[], None] | None = None
    ) -> None:
        """Believe a manufacturer from now on; ``within`` is called in the same transaction.

        Raises:
            KnownError: the name or the certificate is there already.
        """
        with self._store.transaction():
            try:
                self._db.execute("INSERT INTO manufacturers VALUES (?,?,?,?)", manufacturer)
            except sqlite3.IntegrityError as error:
                raise KnownError(f"manufacturer {manufacturer.name} is known already") from error
            if within is not None:
                within()

    def remove_manufacturer(self, name: str) -> None:
        """Forget a manufacturer with its claims and bindings; what was issued stays good.

        Raises:
            NotKnownError: there is none of this name.
        """
        with self._store.transaction():
            done = self._db.execute("DELETE FROM manufacturers WHERE name=?", (name,))
            if not done.rowcount:
                raise NotKnownError(f"no manufacturer {name}")

    def bind(  # who, what, when
        self, manufacturer: str, serial_number: str, device_id: str, now_us: int, by: str
    ) -> None:
        """Note which device a manufactured thing is; its claim is settled.

        Raises:
            NotKnownError: no such manufacturer or device.
            KnownError: it, or the device, is bound to another already.
        """
        with self._store.transaction():
            bound = self.device_of(manufacturer, serial_number)
            if bound == device_id:
                return
            if not self._db.execute(
                "SELECT 1 FROM manufacturers WHERE name=?", (manufacturer,)
            ).fetchone():
                raise NotKnownError(f"no manufacturer {manufacturer}")
            try:
                self._db.execute(
                    "INSERT INTO idevids VALUES (?,?,?,?,?)",
                    (manufacturer, serial_number, device_id, now_us, by),
                )
            except sqlite3.IntegrityError as error:
                raise KnownError(
                    f"{manufacturer} {serial_number} is bound to device {bound} already"
                    if bound
                    else f"device {device_id} is bound to another serial number already"
                ) from error
            self._db.execute(
                "DELETE FROM claims WHERE manufacturer=? AND serial_number=?",
                (manufacturer, serial_number),
            )

    def device_of(self, manufacturer: str, serial_number: str) -> str:
        """The device that a manufactured thing is; empty while nobody has said."""
        row = self._db.execute(
            "SELECT device_id FROM idevids WHERE manufacturer=? AND serial_number=?",
            (manufacturer, serial_number),
        ).fetchone()
        return str(row[0]) if row else ""

    # Claims

    def claims(self) -> list[ClaimRow]:
        """All of them, oldest first, rejected ones included."""
        return [
            ClaimRow(*row) for row in self._db.execute("SELECT * FROM claims ORDER BY first_us")
        ]

    def claim(self, claim: ClaimRow, claims_max: int) -> ClaimRow | None:
        """Note that somebody asks (again); None when there is no room for one more."""
        with self._store.transaction():
            row = self._db.execute(
                "UPDATE claims SET last_us=?, peer=? WHERE manufacturer=? AND serial_number=?"
                " RETURNING *",
                (claim.last_us, claim.peer, claim.manufacturer, claim.serial_number),
            ).fetchone()
            if row:
                return ClaimRow(*row)
            if self._db.execute("SELECT count(*) FROM claims").fetchone()[0] >= claims_max:
                return None
            row = self._db.execute(
                "INSERT INTO claims VALUES (NULL,?,?,?,?,?,?,'') RETURNING *", claim[1:7]
            ).fetchone()
            return ClaimRow(*row)

    def claim_of(self, claim_id: int) -> ClaimRow:
        """One claim.

        Raises:
            NotKnownError: there is none.
        """
        row = self._db.execute("SELECT * FROM claims WHERE claim_id=?", (claim_id,)).fetchone()
        if row is None:
            raise NotKnownError(f"no claim {claim_id}")
        return ClaimRow(*row)

    def reject(self, claim_id: int, by: str) -> ClaimRow:
        """Refuse whoever asks by this claim, until it is forgotten.

        Raises:
            NotKnownError: there is none.
        """
        with self._store.transaction():
            found = self.claim_of(claim_id)
            self._db.execute("UPDATE claims SET rejected_by=? WHERE claim_id=?", (by, claim_id))
            return found._replace(rejected_by=by)

    def drop_claims(self, before_us: int) -> int:
        """Forget claims that nobody has asked by since; returns how many are left."""
        with self._store.transaction():
            self._db.execute("DELETE FROM claims WHERE last_us < ?", (before_us,))
            return int(self._db.execute("SELECT count(*) FROM claims").fetchone()[0])
