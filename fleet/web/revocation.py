"""``/ocsp`` and ``/crl``: what is revoked, for whoever is not ours.

Rules:

* OCSP by POST and by GET (RFC 6960, appendix A.1), one list per issuing CA at
  ``/crl/<its id>.crl`` (RFC 5280, 4.2.1.13). Both are signed, so that plain HTTP will do.
* An answer is as true as the store was when it was asked. A list is built anew after a
  revocation, and well before it ends; its number grows with each.
* The responder's key lives in memory, its certificate for some days; each start makes another.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from datetime import timedelta
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from aiohttp import web

from fleet.config import CRL_PATH, CRL_SUFFIX, OCSP_PATH, RevocationTable
from fleet.registry import Registry
from fleet.store import CredentialRow, Store
from fleet.web.http import FAULT, peer_of, read_body
from fleet.web.rates import Rate, Rates
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock, Counters
from security import pki
from security.identity import Auditor
from security.pki import Authority, Validity, crl, ocsp

CRL_TYPE = "application/pkix-crl"
RESPONDER_DAYS = 7
ENDED_KEPT_US = 86_400_000_000
"""A revoked certificate stays on the list for a day after its end."""
FRESH_SHARE = 4
"""A list is built anew when a quarter of its time has passed."""
CACHE_S = 60

log = logging.getLogger(__name__)


class _List(NamedTuple):
    der: bytes
    revocations: int
    """The number of the revocations that it has."""
    built_us: int


class RevocationResource:
    """Answers requests; one instance, for all listeners."""

    def __init__(  # its collaborators, each a port
        self,
        store: Store,
        registry: Registry,
        config: RevocationTable,
        clock: Clock,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        self._store = store
        self._registry = registry
        self._config = config
        self._clock = clock
        self._counters = counters
        self._audit = audit
        self._lists: dict[str, _List] = {}
        self._responders: dict[str, ocsp.Responder] = {}
        self._building = asyncio.Lock()
        rate = config.requests_per_address_per_minute
        self._rates = Rates(Rate(rate, max(1, round(rate))), clock.monotonic)
        for kind in ("ocsp", "crl"):
            counters.add("revocation_requests", kind, FAULT, n=0)  # an alert rule watches it

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path is one of these."""
        return path == OCSP_PATH or path.startswith((f"{OCSP_PATH}/", CRL_PATH))

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request."""
        kind = "crl" if request.path.startswith(CRL_PATH) else "ocsp"
        try:
            response = await self._serve(request, kind)
        except Exception:
            self._counters.add("revocation_requests", kind, FAULT)
            raise  # the listener answers it
        self._counters.add("revocation_requests", kind, str(response.status))
        return response

    async def _serve(self, request: web.BaseRequest, kind: str) -> web.Response:
        wait_s = self._rates.take(peer_of(request).address)
        if wait_s:
            return web.Response(status=429, headers={"Retry-After": str(wait_s)})
        if not self.serves(request.path):
            return web.Response(status=404)
        return await (self._crl(request) if kind == "crl" else self._ocsp(request))

    # OCSP

    async def _ocsp(self, request: web.BaseRequest) -> web.Response:
        try:
            asked = await self._asked(request)
        except (MalformedError, TimeoutError):
            return web.Response(status=400)
        if asked is None:
            return web.Response(status=405, headers={"Allow": "GET, POST"})
        responder = ocsp.choose(asked, [self._responder(each) for each in self._registry.signers])
        if responder is None:
            unread = _unreadable(asked)
            why = ocsp.Failure.MALFORMED_REQUEST if unread else ocsp.Failure.UNAUTHORIZED
            answer = ocsp.failure(why)
        else:
            now = pki.moment(self._clock.now_us())
            status = partial(self._status, pki.authority_id(responder.issuer))
            answer = await self._registry.run(ocsp.respond, asked, status, responder, now)
        headers = {"Content-Type": ocsp.RESPONSE_TYPE}
        if request.method == "GET":
            headers["Cache-Control"] = f"public, max-age={CACHE_S}"
        return web.Response(body=answer, headers=headers)

    async def _asked(self, request: web.BaseRequest) -> bytes | None:
        """The DER that was asked with; None by another method.

        Raises:
            MalformedError: too long, or not base64.
            TimeoutError: the body did not arrive in time.
        """
        if request.method == "POST":
            return await read_body(request, ocsp.REQUEST_BYTES_MAX, self._config.body_s)
        if request.method != "GET":
            return None
        text = unquote(request.raw_path.partition("?")[0]).removeprefix(f"{OCSP_PATH}/")
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MalformedError("ocsp", "not base64") from error

    def _status(self, authority: str, serial: int) -> ocsp.Status:
        """What the store says of an authority's certificate; on its thread."""
        found = self._store.credential(serial)
        if found is None or found.issuer not in {"", authority}:
            return ocsp.Known.UNKNOWN
        return _revoked(found) if found.revoked_us else ocsp.Known.GOOD

    def _responder(self, authority: Authority) -> ocsp.Responder:
        present = self._responders.get(authority.id)
        now = pki.moment(self._clock.now_us())
        half = timedelta(days=RESPONDER_DAYS / 2)
        if present is None or present.certificate.not_valid_after_utc - now < half:
            key = pki.new_key()
            validity = Validity.days(now, RESPONDER_DAYS)
            issued = pki.issue_responder(authority, key.public_key(), validity)
            self._audit.record("responder_issued", serial=f"{issued.serial:X}")
            valid_for = timedelta(minutes=self._config.ocsp_minutes)
            present = ocsp.Responder(authority.certificate, issued.certificate, key, valid_for)
            self._responders[authority.id] = present
        return present

    # Lists

    async def _crl(self, request: web.BaseRequest) -> web.Response:
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, headers={"Allow": "GET"})
        name = request.path.removeprefix(CRL_PATH).removesuffix(CRL_SUFFIX)
        authority = next((each for each in self._registry.signers if each.id == name), None)
        if authority is None:
            return web.Response(status=404)
        async with self._building:
            built = await self._list(authority)
        headers = {"Content-Type": CRL_TYPE, "Cache-Control": f"public, max-age={CACHE_S}"}
        return web.Response(body=built.der, headers=headers)

    async def _list(self, authority: Authority) -> _List:
        now_us = self._clock.now_us()
        revocations = self._registry.revocations.number
        present = self._lists.get(authority.id)
        life_us = self._config.crl_hours * 3_600_000_000
        if (
            present is not None
            and present.revocations == revocations
            and 0 <= now_us - present.built_us < life_us / FRESH_SHARE
        ):
            return present
        number, rows = await self._registry.run(self._rows, authority.id, now_us)
        now = pki.moment(now_us)
        der = await asyncio.to_thread(
            crl.build,
            authority,
            number,
            [_revoked(row) for row in rows],
            now,
            now + timedelta(hours=self._config.crl_hours),
        )
        built = _List(der, revocations, now_us)
        self._lists[authority.id] = built
        log.info("revocation list %d with %d entries", number, len(rows))
        return built

    def _rows(self, authority: str, now_us: int) -> tuple[int, list[CredentialRow]]:
        """The next list's number and content; on the store's thread."""
        with self._store.transaction():
            number = self._store.grow("crl")
        rows = self._store.revoked_credentials(now_us - ENDED_KEPT_US)
        return number, [row for row in rows if row.issuer in {"", authority}]


def _revoked(row: CredentialRow) -> crl.Revoked:
    reason = crl.Reason.of(row.revoked_reason)
    return crl.Revoked(row.serial, pki.moment(row.revoked_us), reason)


def _unreadable(asked: bytes) -> bool:
    try:
        ocsp.read_request(asked)
    except MalformedError:
        return True
    return False
