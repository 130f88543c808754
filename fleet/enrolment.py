"""Who gets a certificate without an operator's hand: tokens, manufacturers, renewals, claims.

Rules:

* Who asks is established first, then the request is read, then its names must be the asker's;
  what is certified follows from who asked, never from the request.
* A one-time token is bound to one device and ends, at the latest when the device is revoked. Its
  answer may get lost: until the token ends, the same key gets the same certificate again, and any
  other key is refused.
* For a manufacturer's certificate see :mod:`fleet.claims`.
* Whoever renews is who its certificate says, and stays that. The certificate must be one that
  the fleet noted, unrevoked. One that has ended is renewed only where the configuration allows.
* Suspended, retired and unknown devices get nothing, whatever they show.
* Every certificate given and every refusal is audited, and refusals are counted by reason.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fleet.askers import Asker, Holder, Manufactured, Reason, Token, TokenHolder
from fleet.claims import Claims
from fleet.config import EnrolmentTable
from fleet.enrolment_store import EnrolmentStore, Granted, TokenRow
from fleet.registry import Registry, credential_row
from fleet.store import CredentialRow, NotKnownError
from gateway.domain.devices import Standing
from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from gateway.domain.ports import Clock, Counters
from security import chains, est, pki
from security.identity import Auditor
from security.names import Role, parse_identity
from security.pki import Issued, PublicKey, Subject, Validity

TOKEN_BYTES = 16
"""128 bits: not to be guessed, whatever the rate."""
TOKEN_CHARS_MAX = 64
HOUR_US = 3_600_000_000
RENEWING_ROLES = frozenset({Role.DEVICE, Role.GATEWAY, Role.SERVICE})
"""Operators are people, and get theirs from people."""

_NOBODY = bytes(32)


class Enrolment:
    """Used on the loop's thread."""

    def __init__(  # its collaborators, each a port
        self,
        store: EnrolmentStore,
        registry: Registry,
        config: EnrolmentTable,
        clock: Clock,
        audit: Auditor,
        counters: Counters,
        claims: Claims,
    ) -> None:
        """Take the collaborators."""
        self._store = store
        self._registry = registry
        self._config = config
        self._clock = clock
        self._audit = audit
        self._counters = counters
        self._claims = claims
        for role in RENEWING_ROLES:
            counters.add("renewed", role, n=0)

    # Operators

    async def new_token(self, device_id: str, hours: float, by: str) -> Token:
        """A token for a registered device; the one before is void.

        Raises:
            NotKnownError: the device is not registered.
            MalformedError: ``hours``, or a device that is suspended or retired.
        """
        hours = hours or self._config.token_hours
        if hours > self._config.token_hours_max:
            most = self._config.token_hours_max
            raise MalformedError("hours", f"at most {most:g} (enrolment.token_hours_max)")
        device = self._registry.devices.get(device_id)
        if device is None:
            raise NotKnownError(f"device {device_id} is not registered")
        if device.standing in {Standing.SUSPENDED, Standing.RETIRED}:
            raise MalformedError("device", f"{device_id} is {device.standing}")
        text = _token_text()
        now_us = self._clock.now_us()
        expires_us = now_us + round(hours * HOUR_US)
        row = TokenRow(device_id, _token_hash(text), now_us, expires_us, by)
        await self._registry.run(self._store.put_token, row)
        self._audit.record("token_issued", by=by, device=device_id, hours=f"{hours:g}")
        return Token(text, expires_us)

    # Who asks

    async def by_token(self, user: str, text: str) -> TokenHolder:
        """Whoever knows a device's token. An unknown device costs the same time as a known one.

        Raises:
            RefusedError: one of the reasons of ``Reason.UNPROVED``.
        """
        row = await self._registry.run(self._store.token, user)
        shown = _token_hash(text[:TOKEN_CHARS_MAX])
        equal = hmac.compare_digest(row.token_sha256 if row else _NOBODY, shown)
        if row is None:
            raise RefusedError(Reason.TOKEN_UNKNOWN)
        if not equal:
            raise RefusedError(Reason.TOKEN_WRONG)
        if row.expires_us <= self._clock.now_us():
            raise RefusedError(Reason.TOKEN_EXPIRED)
        return TokenHolder(row)

    async def by_certificate(self, chain_der: Sequence[bytes]) -> Holder:
        """Whoever has a certificate of ours, which the fleet noted and nobody revoked.

        Raises:
            RefusedError: with a reason.
            MalformedError: ``certificate``.
        """
        chain = chains.read_chain(chain_der)
        leaf = chain[0]
        now = pki.moment(self._clock.now_us())
        ended = leaf.not_valid_after_utc < now
        # What has ended is judged by the last moment at which it held.
        at = leaf.not_valid_after_utc if ended else now
        chains.verify([*chain, *self._registry.issuers], self._claims.roots(), at)
        der = leaf.public_bytes(Encoding.DER)
        identity = parse_identity(der, self._registry.trust_domain)
        noted = await self._registry.credential(identity.serial)
        if noted is None or (noted.role, noted.id) != (identity.role, identity.id):
            raise RefusedError(RefusalReason.UNTRUSTED, "no certificate that we noted")
        if noted.revoked_us or self._registry.is_revoked(identity):
            raise RefusedError(RefusalReason.REVOKED)
        if ended and now - leaf.not_valid_after_utc > timedelta(
            days=self._config.renew_expired_days
        ):
            raise RefusedError(RefusalReason.EXPIRED)
        if identity.role not in RENEWING_ROLES:
            raise RefusedError(Reason.ROLE, f"a {identity.role} does not renew here")
        return Holder(identity, leaf, ended)

    # What they get

    async def enrol(
        self, asker: Asker, request: est.Request, peer: str
    ) -> x509.Certificate | est.Pending:
        """The certificate for whoever asks, or the word to come again.

        Raises:
            RefusedError: with a reason.
        """
        match asker:
            case TokenHolder():
                granted = await self._enrol_token(asker, request)
                return self._given("enrolled", granted, asker.name, "token", peer)
            case Manufactured():
                return await self._enrol_birth(asker, request, peer)
            case Holder():
                return await self._renew(asker, request, peer)

    async def _enrol_token(self, asker: TokenHolder, request: est.Request) -> Granted:
        device_id = asker.row.device_id
        self._check_names(request, Role.DEVICE, device_id)
        now_us = self._clock.now_us()
        try:
            return await self._registry.enrol(
                Role.DEVICE,
                device_id,
                lambda: self._check_standing(device_id),
                lambda: self._store.grant_for_token(
                    asker.row, request.key, now_us, self._issuer(device_id, request.key)
                ),
            )
        except NotKnownError as error:
            raise RefusedError(Reason.TOKEN_USED, str(error)) from error

    async def _enrol_birth(
        self, asker: Manufactured, request: est.Request, peer: str
    ) -> x509.Certificate | est.Pending:
        device_id = await self._claims.device_of(asker)
        if not device_id:
            return await self._claims.ask(asker, peer)
        own = {asker.serial_number, *asker.common_names}
        self._check_names(request, Role.DEVICE, device_id, also=own)

        def check() -> None:
            self._check_standing(device_id)
            if device_id in self._registry.revoked_devices:
                raise RefusedError(RefusalReason.REVOKED, "an operator must let it in again")

        granted = await self._registry.enrol(
            Role.DEVICE,
            device_id,
            check,
            lambda: self._store.grant(
                Role.DEVICE, device_id, request.key, self._issuer(device_id, request.key)
            ),
        )
        return self._given("enrolled", granted, device_id, f"idevid {asker.name}", peer)

    async def _renew(self, asker: Holder, request: est.Request, peer: str) -> x509.Certificate:
        role, name = asker.identity.role, asker.identity.id
        hosts = pki.hosts_of(asker.certificate)
        subject = asker.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names = {str(each.value) for each in subject}
        self._check_names(request, role, name, also=names, hosts=hosts)
        issue = self._issuer(name, request.key, role, hosts, asker.certificate)
        serial = asker.identity.serial

        def check() -> None:
            if role is Role.DEVICE:
                self._check_standing(name)

        try:
            granted = await self._registry.enrol(
                role, name, check, lambda: self._store.renew(serial, request.key, issue)
            )
        except NotKnownError as error:
            raise RefusedError(RefusalReason.REVOKED) from error
        how = "ended certificate" if asker.ended else "certificate"
        self._counters.add("renewed", role)
        return self._given("renewed", granted, asker.name, how, peer)

    def _given(
        self, event: str, granted: Granted, name: str, how: str, peer: str
    ) -> x509.Certificate:
        if event == "enrolled" and granted.fresh:
            self._counters.add("enrolled")
        self._audit.record(
            event if granted.fresh else f"{event}_again",
            holder=name,
            by=how,
            peer=peer,
            serial=f"{granted.certificate.serial_number:X}",
        )
        return granted.certificate

    def _issuer(
        self,
        name: str,
        key: PublicKey,
        role: Role = Role.DEVICE,
        hosts: tuple[str, ...] = (),
        renewed: x509.Certificate | None = None,
    ) -> Callable[[], tuple[Issued, CredentialRow]]:
        """Makes the certificate when the store is ready to note it.

        A device's life-time is the configured one; others keep the one that they have.
        """
        now_us = self._clock.now_us()
        now = pki.moment(now_us)
        validity = Validity.days(now, self._config.device_days)
        if renewed is not None and role is not Role.DEVICE:
            life = renewed.not_valid_after_utc - renewed.not_valid_before_utc - pki.BACKDATE
            validity = Validity.days(now, life / timedelta(days=1))

        def issue() -> tuple[Issued, CredentialRow]:
            try:
                issued = self._registry.certify(Subject(role, name, hosts), key, validity)
            except ValueError as error:
                # As when a host's name is outside the scope of an authority that is new.
                raise RefusedError(Reason.PROFILE, str(error)) from error
            return issued, credential_row(issued, role, name, now_us)

        return issue

    def _check_standing(self, device_id: str) -> None:
        device = self._registry.devices.get(device_id)
        if device is None:
            raise RefusedError(RefusalReason.UNKNOWN_DEVICE)
        if device.standing is Standing.SUSPENDED:
            raise RefusedError(RefusalReason.SUSPENDED)
        if device.standing is Standing.RETIRED:
            raise RefusedError(Reason.RETIRED)

    def _check_names(
        self,
        request: est.Request,
        role: Role,
        name: str,
        *,
        also: frozenset[str] | set[str] = frozenset(),
        hosts: tuple[str, ...] = (),
    ) -> None:
        uri = f"spiffe://{self._registry.trust_domain}/{role}/{name}"
        if (
            not {name, *also}.issuperset(request.common_names)
            or not {uri}.issuperset(request.uris)
            or not set(hosts).issuperset(request.hosts)
            or request.strange_names
        ):
            raise RefusedError(RefusalReason.IDENTITY_MISMATCH, "the request is for somebody else")


def _token_text() -> str:
    """Base 32, in groups: for a QR code, and for a person to type."""
    text = base64.b32encode(secrets.token_bytes(TOKEN_BYTES)).decode().rstrip("=").lower()
    return "-".join(text[at : at + 5] for at in range(0, len(text), 5))


def _token_hash(text: str) -> bytes:
    """A token has 128 random bits, so a slow hash would add nothing."""
    plain = text.lower().replace("-", "").replace(" ", "")
    return hashlib.sha256(plain.encode()).digest()
