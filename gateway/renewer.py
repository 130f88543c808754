"""Renews one identity: does what :class:`security.renewal.Renewal` says, between two slots.

Rules:

* The new identity is written to the spare slot, probed by a request that shows it and trusts what
  it will trust, and then swapped in; whoever reads ``current`` from then on reads it. Sessions
  that stand keep theirs.
* A root that is new is trusted only if one that is trusted already vouches for its key by a
  cross certificate (RFC 7030, 4.1.3: NewWithOld); one that the issuer names no more is dropped.
* Whatever fails is counted, logged once per kind of failure, and tried again; nothing raises.

Gateway, core, fleet and simulated devices run the same one; where certificates come from is an
:class:`Issuer`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.clock import SystemClock
from gateway.domain.errors import RefusedError, WardgateError
from gateway.domain.ports import Clock
from gateway.estanswer import OutageError
from gateway.estclient import EstClient
from security import chains, est, pki
from security.files import TlsFiles
from security.names import Identity, parse_identity
from security.renewal import Effect, Input, Life, Now, Renewal, RenewalTable
from security.slots import Slots, Spare
from security.tls import client_context

RESULTS = ("renewed", "pending", "failed", "refused", "probe_failed", "probe_refused")
"""Labels of the counter of renewals."""

log = logging.getLogger(__name__)


class Bundle(NamedTuple):
    """What the issuer says of itself."""

    certificates: Sequence[x509.Certificate]
    """Issuers, roots and cross certificates, in any order; not trusted."""
    at_us: int
    """When it said so; 0: it doesn't tell."""


class Issuer(Protocol):
    """Where certificates come from.

    All raise RefusedError for a refusal, OutageError where another try may work.
    """

    async def bundle(self, files: TlsFiles) -> Bundle:
        """Ask by the identity ``files``."""

    async def renew(
        self, files: TlsFiles, identity: Identity, key: pki.SigningKey
    ) -> x509.Certificate | est.Pending:
        """A certificate for ``key``, for whoever ``files`` names."""

    async def probe(self, files: TlsFiles) -> None:
        """Use an identity as it is going to be used."""


class EstIssuer:
    """The fleet, by EST over mTLS."""

    def __init__(self, client: EstClient, checks_time: Callable[[], bool] = lambda: True) -> None:
        self._client = client
        self._checks_time = checks_time

    async def bundle(self, files: TlsFiles) -> Bundle:
        """As the port says."""
        return Bundle(*await self._client.ca_certificates(self._context(files)))

    async def renew(
        self, files: TlsFiles, identity: Identity, key: pki.SigningKey
    ) -> x509.Certificate | est.Pending:
        """As the port says."""
        pem = pki.create_csr(key, identity.id)
        csr = x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)
        return await self._client.renew(self._context(files), csr, key.public_key())

    async def probe(self, files: TlsFiles) -> None:
        """As the port says: the fleet verifies a certificate whatever is asked."""
        await self._client.ca_certificates(self._context(files))

    def _context(self, files: TlsFiles) -> ssl.SSLContext:
        return client_context(files, check_time=self._checks_time())


class Surroundings(NamedTuple):
    """Who is told of what happens."""

    counted: Callable[[str], None]
    """One of RESULTS."""
    audit: Callable[[str, str, str], None]
    """Result, serial number in hexadecimal and what is to be said."""
    on_swapped: Callable[[], None]
    """New handshakes are to read the files anew."""
    on_trouble: Callable[[str], None]
    """Why renewal keeps failing; empty when it works again. Called with each step."""
    proved: Callable[[int], None]
    """A time that the issuer has proved, in Unix microseconds."""


class Renewer:
    """Keeps the identity in ``slots`` alive.

    Raises:
        ConfigError: there is no usable identity.
    """

    def __init__(  # its collaborators, each a port
        self,
        slots: Slots,
        issuer: Issuer,
        table: RenewalTable,
        clock: Clock,
        trust_domain: str,
        around: Surroundings,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._slots = slots
        self._issuer = issuer
        self._clock = clock
        self._trust_domain = trust_domain
        self._around = around
        self._reason = ""
        found = slots.recover()
        leaf = pki.load_certificates(slots.files.cert)[0]
        self._identity = self._identify(leaf)
        self.machine = Renewal(
            Life.of(leaf), table, self._now(), draw, candidate=found is Spare.CANDIDATE
        )

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(self.machine.sleep_s(self._now()))

    async def step(self) -> None:
        """Do what time asks for, and all that follows from it."""
        effect = self.machine.tick(self._now())
        while effect is not Effect.NOTHING:
            answer, wait_s = await self._do(effect)
            now = self._now()
            if answer is Input.SWAPPED:
                self._adopt(now)
            effect = self.machine.feed(answer, now, wait_s)
        self._around.on_trouble(self._reason if self.machine.troubled(self._now()) else "")

    async def _do(self, effect: Effect) -> tuple[Input, float]:
        """What came of it, and how long the issuer wants us to wait."""
        try:
            return await self._try(effect)
        except RefusedError as error:
            self._tell(effect, Input.REFUSED, error)
            return Input.REFUSED, 0.0
        except (OutageError, OSError, WardgateError) as error:
            self._tell(effect, Input.FAILED, error)
            return Input.FAILED, 0.0

    async def _try(self, effect: Effect) -> tuple[Input, float]:
        wait_s = 0.0
        match effect:
            case Effect.LOOK:
                answer = await self._look()
            case Effect.REQUEST:
                answer, wait_s = await self._request()
            case Effect.PROBE:
                await self._issuer.probe(self._slots.spare_files)
                answer = Input.PROBED
            case Effect.SWAP:
                await asyncio.to_thread(self._slots.swap)
                answer = Input.SWAPPED
            case Effect.DISCARD:
                await asyncio.to_thread(self._slots.discard)
                answer = Input.DISCARDED
            case Effect.NOTHING:  # the caller asks for effects alone
                answer = Input.FAILED
        return answer, wait_s

    async def _look(self) -> Input:
        """Whether the issuer's certificates are still those that we send and trust."""
        files = self._slots.files.pinned()
        bundle = await self._issuer.bundle(files)
        self._around.proved(bundle.at_us)
        trusted = pki.load_certificates(files.trust)
        issuers = pki.load_certificates(files.cert)[1:2]
        roots = accepted_roots(bundle.certificates, trusted)
        same = set(roots) == set(trusted) and set(issuers) <= set(bundle.certificates)
        return Input.SAME if same else Input.CHANGED

    async def _request(self) -> tuple[Input, float]:
        files = self._slots.files.pinned()
        bundle = await self._issuer.bundle(files)
        self._around.proved(bundle.at_us)
        key = await asyncio.to_thread(self._slots.request_key)
        leaf = await self._issuer.renew(files, self._identity, key)
        if isinstance(leaf, est.Pending):
            self._around.counted("pending")
            return Input.PENDING, leaf.retry_after_s
        got = self._identify(leaf)
        if (got.role, got.id) != (self._identity.role, self._identity.id):
            raise RefusedError("identity_mismatch", "the new certificate is somebody else's")
        roots = accepted_roots(bundle.certificates, pki.load_certificates(files.trust))
        chain = chain_of(leaf, bundle.certificates, roots)
        await asyncio.to_thread(self._slots.fill, pki.to_pem(*chain), pki.to_pem(*roots))
        self._around.proved(round(leaf.not_valid_before_utc.timestamp() * 1e6))
        return Input.GRANTED, 0.0

    def _adopt(self, now: Now) -> None:
        leaf = pki.load_certificates(self._slots.files.cert)[0]
        self._identity = self._identify(leaf)
        self.machine.adopt(Life.of(leaf), now)
        self._reason = ""
        self._around.counted("renewed")
        serial = f"{leaf.serial_number:X}"
        self._around.audit("renewed", serial, f"good until {leaf.not_valid_after_utc:%F %T}Z")
        log.info("certificate renewed: serial %s, until %s", serial, leaf.not_valid_after_utc)
        self._around.on_swapped()

    def _tell(self, effect: Effect, answer: Input, why: Exception) -> None:
        result = answer.name.lower()
        if effect is Effect.PROBE:
            result = f"probe_{result}"
        reason = f"{result.replace('_', ' ')}: {' '.join(str(why).split())}"
        self._around.counted(result)
        if reason != self._reason:
            level = logging.DEBUG if effect is Effect.LOOK else logging.WARNING
            log.log(level, "renewal %s", reason)
            if answer is Input.REFUSED:
                self._around.audit(result, "", str(why))
        self._reason = reason

    def _identify(self, leaf: x509.Certificate) -> Identity:
        return parse_identity(leaf.public_bytes(Encoding.DER), self._trust_domain)

    def _now(self) -> Now:
        return Now(self._clock.now_us() / 1e6, self._clock.monotonic())


def by_est(
    files: TlsFiles,
    table: RenewalTable,
    clock: Clock,
    trust_domain: str,
    around: Surroundings,
    checks_time: Callable[[], bool] = lambda: True,
) -> Renewer | None:
    """A renewer by EST; None, said in the log, where the layout or the address is missing.

    Raises:
        ConfigError: the address is none, or the identity can't be used.
    """
    slots = Slots.of(files)
    if slots is None or not table.est:
        why = "renewal.est is not set" if slots else f"{files.cert} is not in two slots"
        log.warning("the certificate is not renewed by itself: %s", why)
        return None
    client = EstClient(table.est, table.server_name, trust_domain, clock.now_us)
    return Renewer(slots, EstIssuer(client, checks_time), table, clock, trust_domain, around)


def of_device(directory: Path, est_url: str, on_swapped: Callable[[], None]) -> Renewer | None:
    """For a device that has no word but its log; None where its identity is of plain files.

    ``est_url`` may end with EST's path; the trust domain is the certificate's own.

    Raises:
        ConfigError: as :func:`by_est`.
    """
    files = TlsFiles.within(directory)
    trust_domain = pki.trust_domain_of(pki.load_certificates(files.cert)[0])
    around = Surroundings(
        counted=lambda _result: None,
        audit=lambda *_words: None,
        on_swapped=on_swapped,
        on_trouble=lambda _reason: None,
        proved=lambda _time_us: None,
    )
    table = RenewalTable(est=est_url.removesuffix(est.PATH))
    return by_est(files, table, SystemClock(), trust_domain, around)


def accepted_roots(
    offered: Iterable[x509.Certificate], trusted: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    """Whom to trust after the issuer offered these; ``trusted`` where they name nobody known."""
    certificates = list(offered)
    vouched = {
        _public(each)
        for each in certificates
        if not _self_issued(each) and any(_issued(each, root) for root in trusted)
    }
    roots = [
        each
        for each in certificates
        if _self_issued(each) and (each in trusted or _public(each) in vouched)
    ]
    return roots or list(trusted)


def chain_of(
    leaf: x509.Certificate, offered: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> list[x509.Certificate]:
    """Leaf and issuers as they are sent, cross certificates behind.

    Raises:
        RefusedError: it leads to none of ``roots``.
    """
    others = [each for each in offered if not _self_issued(each)]
    chains.verify([leaf, *others], roots, leaf.not_valid_before_utc + pki.BACKDATE)
    issuers = [each for each in others if _issued(leaf, each)]
    crosses = [each for each in others if any(_issued(issuer, each) for issuer in issuers)]
    return [leaf, *issuers, *crosses]


def _self_issued(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer and _issued(certificate, certificate)


def _issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _public(certificate: x509.Certificate) -> tuple[bytes, x509.Name]:
    key = certificate.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), certificate.subject
