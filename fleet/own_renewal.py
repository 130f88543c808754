"""The fleet service renews certificates of its own by its own authority, without asking anybody.

Its own, and the EAP server's of secondary authentication, for which nobody else could.

It does not go through its own listener: a service whose certificate has ended could not, and
would lock everybody out. The new certificate is noted and audited as everybody's is, and probed
by a handshake with itself, both ends checking what callers and callees check.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple, NoReturn

from cryptography import x509

from fleet.config import FleetConfig
from fleet.enrolment_store import EnrolmentStore
from fleet.registry import Registry, credential_row
from fleet.store import CredentialRow, NotKnownError
from gateway.domain.errors import RefusalReason, RefusedError, WardgateError
from gateway.domain.ports import Clock
from gateway.renewer import RESULTS, Bundle, Renewer, Surroundings
from gateway.telemetry import Telemetry
from security import pki
from security.files import TlsFiles
from security.identity import Auditor
from security.names import Identity
from security.pki import Issued, Subject, Validity
from security.slots import Slots
from security.tls import client_context, server_context

HANDSHAKE_STEPS_MAX = 16

log = logging.getLogger(__name__)


class OwnIssuer:
    """Implements :class:`gateway.renewer.Issuer` with the service's own authority."""

    def __init__(self, registry: Registry, store: EnrolmentStore, clock: Clock) -> None:
        self._registry = registry
        self._store = store
        self._clock = clock

    async def bundle(self, files: TlsFiles) -> Bundle:
        """As the port says."""
        del files
        return Bundle(tuple(self._registry.site.published), 0)

    async def renew(
        self, files: TlsFiles, identity: Identity, key: pki.SigningKey
    ) -> x509.Certificate:
        """As the port says; names and life-time stay."""
        present = pki.load_certificates(files.cert)[0]
        issue = self._issue(present, identity, key.public_key())
        try:
            granted = await self._registry.enrol(
                identity.role,
                identity.id,
                lambda: None,
                lambda: self._store.renew(identity.serial, key.public_key(), issue),
            )
        except NotKnownError as error:
            raise RefusedError(RefusalReason.REVOKED, str(error)) from error
        return granted.certificate

    async def probe(self, files: TlsFiles) -> None:
        """As the port says."""
        host = pki.hosts_of(pki.load_certificates(files.cert)[0])[0]
        try:
            shake_hands(files, host)
        except ssl.SSLError as error:
            raise RefusedError(RefusalReason.UNTRUSTED, str(error)) from error

    def _issue(
        self, present: x509.Certificate, identity: Identity, key: pki.PublicKey
    ) -> Callable[[], tuple[Issued, CredentialRow]]:
        now_us = self._clock.now_us()
        length = present.not_valid_after_utc - present.not_valid_before_utc - pki.BACKDATE
        validity = Validity.days(pki.moment(now_us), length / timedelta(days=1))
        subject = Subject(identity.role, identity.id, pki.hosts_of(present))

        def issue() -> tuple[Issued, CredentialRow]:
            try:
                issued = self._registry.certify(subject, key, validity)
            except ValueError as error:
                raise RefusedError(RefusalReason.UNTRUSTED, str(error)) from error
            return issued, credential_row(issued, identity.role, identity.id, now_us)

        return issue


def shake_hands(files: TlsFiles, host: str) -> None:
    """A whole handshake of an identity with itself, in memory.

    Raises:
        ssl.SSLError: one end refuses the other.
        ConfigError: the files can't be used.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client_context(files).wrap_bio(to_client, to_server, server_hostname=host),
        server_context(files).wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(HANDSHAKE_STEPS_MAX):
        waiting = []
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(end)
        if not waiting:
            return
    raise ssl.SSLError("the handshake does not end")


class Kept(NamedTuple):
    """An identity that the service keeps alive."""

    use: str
    """Names it in metrics and the log."""
    files: TlsFiles
    on_swapped: Callable[[], None]
    """Called when another certificate is in force."""


async def renew_own(  # what renewing touches
    kept: Kept,
    config: FleetConfig,
    registry: Registry,
    store: EnrolmentStore,
    clock: Clock,
    telemetry: Telemetry,
    audit: Auditor,
) -> None:
    """Keep a certificate alive, if it lies in two slots; until cancelled in any case."""
    telemetry.begin("renewals", RESULTS)
    telemetry.set("renewal_fails", 0, kept.use)  # an alert rule watches it
    try:
        slots = Slots.of(kept.files)
        if slots is None:
            log.warning(
                "the certificate (%s) is not renewed by itself: it is not in two slots", kept.use
            )
            await _for_ever()
        around = Surroundings(
            counted=lambda result: telemetry.add("renewals", result),
            audit=lambda result, serial, words: audit.record(
                "own_renewal", result=result, serial=serial, words=words, use=kept.use
            ),
            on_swapped=kept.on_swapped,
            on_trouble=lambda reason: telemetry.set("renewal_fails", float(bool(reason)), kept.use),
            proved=lambda _time_us: None,
        )
        issuer = OwnIssuer(registry, store, clock)
        renewer = Renewer(slots, issuer, config.renewal, clock, registry.trust_domain, around)
    except (WardgateError, OSError) as error:
        log.error("the certificate (%s) is not renewed by itself: %s", kept.use, error)  # noqa: TRY400  # the cause is told
        telemetry.set("renewal_fails", 1, kept.use)
        await _for_ever()
    await renewer.run()


async def _for_ever() -> NoReturn:
    """Until cancelled: what there is to be told was told."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError
