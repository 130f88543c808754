"""``/.well-known/est``: enrolment and renewal over HTTPS (RFC 7030, RFC 8951).

Rules:

* ``cacerts`` and ``csrattrs`` are for everybody. ``simpleenroll`` is for a one-time token (HTTP
  Basic: the device's id and the token) or a manufacturer's certificate, ``simplereenroll`` for a
  certificate of ours.
* First the address' rate, then who asks, then that holder's rate, then the body: whoever has not
  proved anything costs a look-up and is never read.
* A wrong token, another device's, an ended or used one, and an unknown device get the same
  answer. An address that brings too many of them waits before its next one is looked at.
* A refusal has a status, one line of text and nothing else; the reason is counted and audited.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from aiohttp import web
from cryptography import x509

from fleet.askers import Asker, Reason
from fleet.claims import Claims
from fleet.config import WebTable
from fleet.enrolment import Enrolment
from fleet.web.http import FAULT, Peer, peer_of, read_body
from fleet.web.listener import TRANSPORT
from fleet.web.rates import Rate, Rates
from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from gateway.domain.ports import Clock, Counters
from security import est
from security.est import Operation
from security.identity import Auditor
from security.names import is_id
from security.tls import peer_certificates

BUSY_RETRY_S = 300
METHODS: Mapping[Operation, str] = {
    Operation.CA_CERTS: "GET",
    Operation.CSR_ATTRIBUTES: "GET",
    Operation.ENROL: "POST",
    Operation.REENROL: "POST",
}
CHALLENGE = 'Basic realm="Wardgate enrolment", charset="UTF-8"'
OTHER = "other"
"""The operation's label for what is none."""

log = logging.getLogger(__name__)


class _Answer(Exception):  # noqa: N818  # it ends a request, and is no error
    """The answer to whoever is not served."""

    def __init__(self, status: int, words: str, retry_after_s: int = 0) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.retry_after_s = retry_after_s


class EstResource:
    """Answers requests; one instance per listener."""

    def __init__(  # its collaborators, each a port
        self,
        enrolment: Enrolment,
        claims: Claims,
        ca_certificates: Callable[[], Iterable[x509.Certificate]],
        config: WebTable,
        clock: Clock,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        """Take the collaborators; ``ca_certificates`` are all that a client may need now."""
        self._enrolment = enrolment
        self._claims = claims
        self._ca_certificates = ca_certificates
        self._body_s = config.body_s
        self._counters = counters
        self._audit = audit

        def rates(per_minute: float, burst: float) -> Rates:
            return Rates(Rate(per_minute, max(1, round(burst))), clock.monotonic)

        everything = config.requests_per_address_per_minute
        failures = config.failures_per_address_per_minute
        identity = config.requests_per_identity_per_minute
        self._by_address = rates(everything, everything)
        self._failures = rates(failures, failures)
        self._by_identity = rates(identity, identity)
        for reason in Reason.ALL:
            counters.add("enrolment_refused", reason, n=0)
        for operation in (*Operation, OTHER):
            counters.add("enrolment_requests", operation, FAULT, n=0)  # an alert rule watches it

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request."""
        found = est.operation(request.path)
        operation = found[1] if found and not found[0] else None
        try:
            response = await self._serve(request, operation)
        except _Answer as answer:
            response = _text(answer.status, answer.words, answer.retry_after_s)
        except Exception:
            self._counters.add("enrolment_requests", operation or OTHER, FAULT)
            raise  # the listener answers it
        self._counters.add("enrolment_requests", operation or OTHER, str(response.status))
        return response

    async def _serve(self, request: web.BaseRequest, operation: Operation | None) -> web.Response:
        peer = peer_of(request)
        wait_s = self._by_address.take(peer.address)
        if wait_s:
            raise self._too_often(peer, wait_s)
        if operation is None:
            raise _Answer(404, "no such resource")
        if request.method != METHODS[operation]:
            raise _Answer(405, f"use {METHODS[operation]}")
        match operation:
            case Operation.CA_CERTS:
                certificates = est.encode_certificates(self._ca_certificates())
                return _base64(certificates, est.MEDIA_CERTS)
            case Operation.CSR_ATTRIBUTES:
                return _base64(est.encode_attributes(), est.MEDIA_CSR_ATTRIBUTES)
            case Operation.ENROL | Operation.REENROL:
                return await self._enrol(request, operation, peer)

    async def _enrol(
        self, request: web.BaseRequest, operation: Operation, peer: Peer
    ) -> web.Response:
        user = _claimed_user(request)
        try:
            asker = await self._asker(request, operation, peer)
            user = asker.name
            wait_s = self._by_identity.take(asker.name)
            if wait_s:
                raise self._too_often(peer, wait_s, user)
            kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != est.MEDIA_CSR:
                raise _Answer(415, f"send {est.MEDIA_CSR}")
            body = await read_body(request, est.BODY_BYTES_MAX, self._body_s)
            granted = await self._enrolment.enrol(asker, est.read_request(body), peer.name)
        except RefusedError as refusal:
            raise self._refused(refusal, peer, user) from refusal
        except MalformedError as error:
            self._tell(Reason.REQUEST, peer, user)
            status = 413 if error.reason == "too_long" else 400
            raise _Answer(status, f"the request is refused: {error.reason}") from error
        except TimeoutError as error:
            self._tell(Reason.REQUEST, peer, user)
            raise _Answer(408, "the request did not arrive in time") from error
        if isinstance(granted, est.Pending):
            return _text(202, "an operator has to decide; ask again", granted.retry_after_s)
        return _base64(est.encode_certificates([granted]), est.MEDIA_CERTS_ONLY)

    async def _asker(self, request: web.BaseRequest, operation: Operation, peer: Peer) -> Asker:
        """Who asks.

        Raises:
            RefusedError, MalformedError: nobody that may.
        """
        chain = _certificates(request)
        header = request.headers.get("Authorization", "")
        if operation is Operation.REENROL:
            if not chain:
                raise RefusedError(Reason.NO_CREDENTIAL)
            return await self._enrolment.by_certificate(chain)
        if not header:
            if not chain:
                raise RefusedError(Reason.NO_CREDENTIAL)
            return self._claims.by_birth(chain)
        wait_s = self._failures.wait_s(peer.address)
        if wait_s:
            raise self._too_often(peer, wait_s)
        try:
            return await self._enrolment.by_token(*est.decode_basic(header))
        except (RefusedError, MalformedError):
            self._failures.count(peer.address)
            raise

    def _refused(self, refusal: RefusedError, peer: Peer, user: str) -> _Answer:
        self._tell(refusal.reason, peer, user)
        if refusal.reason in Reason.UNPROVED:
            return _Answer(401, "not authorised")
        if refusal.reason == Reason.CLAIMS_FULL:
            return _Answer(503, "too many wait to be let in", BUSY_RETRY_S)
        return _Answer(403, f"refused: {refusal.reason}")

    def _too_often(self, peer: Peer, wait_s: int, user: str = "") -> _Answer:
        self._tell(Reason.RATE, peer, user)
        return _Answer(429, "too often", wait_s)

    def _tell(self, reason: str, peer: Peer, user: str) -> None:
        known = reason if reason in Reason.ALL else RefusalReason.MALFORMED
        self._counters.add("enrolment_refused", known)
        self._audit.refused(known, TRANSPORT, peer.name, user)


def _certificates(request: web.BaseRequest) -> Sequence[bytes]:
    connection = request.transport.get_extra_info("ssl_object") if request.transport else None
    return peer_certificates(connection) if connection is not None else ()


def _claimed_user(request: web.BaseRequest) -> str:
    """Whom a request without a proof names, for the audit log."""
    try:
        user, _ = est.decode_basic(request.headers.get("Authorization", ""))
    except MalformedError:
        return ""
    return user if is_id(user) else ""


def _text(status: int, words: str, retry_after_s: int = 0) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    if retry_after_s:
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    return web.Response(status=status, text=f"{words}\n", headers=headers)


def _base64(body: bytes, media_type: str) -> web.Response:
    headers = {
        "Content-Type": media_type,
        "Content-Transfer-Encoding": "base64",
        "Cache-Control": "no-store",
    }
    return web.Response(body=body, headers=headers)
