"""EST's client end (RFC 7030): asks the fleet for its certificates, and for a new one of ours.

Rules:

* Every request shows a certificate of ours and takes the fleet's only for the host's name, from a
  trusted root, and as a service of our trust domain. The codec is :mod:`security.est`.
* What the listener says in the ``Date`` header is proved by its certificate, and is told.
* A connection per request, no proxy, no redirect, answers bounded in size and time.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp.connector import Connection
from cryptography import x509

from gateway.domain.errors import ConfigError, MalformedError, RefusedError
from security import est, pki
from security.est import Operation, Reply
from security.names import Role, parse_identity

TIMEOUT_S = 30.0


class OutageError(Exception):
    """Nobody answered, or not in time, or not to the point; another try may work."""


class Said(NamedTuple):
    """An answer, and when the fleet gave it, in Unix microseconds (0: it didn't say)."""

    reply: Reply
    at_us: int


class EstClient:
    """Requests to one listener.

    Args:
        url: ``https://host:port``.
        server_name: in its certificate; empty: the host.
        trust_domain: of the fleet.
        now_us: judges the end of the fleet's certificate, also while TLS checks no time.

    Raises:
        ConfigError: not such an address.
    """

    def __init__(
        self, url: str, server_name: str, trust_domain: str, now_us: Callable[[], int]
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.query or parts.path.strip("/"):
            raise ConfigError(f"renewal.est: {url!r} is not https://host:port")
        self._base = f"https://{parts.netloc}{est.PATH}"
        self._server_name = server_name or None
        self._trust_domain = trust_domain
        self._now_us = now_us

    async def ca_certificates(self, context: ssl.SSLContext) -> tuple[list[x509.Certificate], int]:
        """The issuer's certificates, not yet trusted, and when it said so.

        Raises:
            RefusedError: our certificate or theirs is refused.
            OutageError: another try may work.
        """
        said = await self._ask(context, Operation.CA_CERTS, None)
        try:
            return est.ca_certificates(said.reply), said.at_us
        except MalformedError as error:
            raise OutageError(f"not EST: {error}") from error

    async def renew(
        self, context: ssl.SSLContext, csr_der: bytes, key: pki.PublicKey
    ) -> x509.Certificate | est.Pending:
        """A certificate for ``key``, by the one that ``context`` shows.

        Raises:
            RefusedError: the fleet refuses, or our certificate or theirs is refused.
            OutageError: another try may work.
        """
        said = await self._ask(context, Operation.REENROL, est.encode_request(csr_der))
        try:
            return est.issued_certificate(said.reply, key)
        except MalformedError as error:
            raise OutageError(f"not EST: {error}") from error

    async def _ask(self, context: ssl.SSLContext, operation: Operation, body: bytes | None) -> Said:
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    timeout=timeout,
                    trust_env=False,
                    response_class=_Response,
                ) as session,
                session.request(
                    "GET" if body is None else "POST",
                    f"{self._base}/{operation}",
                    data=body,
                    headers={} if body is None else {"Content-Type": est.MEDIA_CSR},
                    allow_redirects=False,
                    server_hostname=self._server_name,
                ) as response,
            ):
                self._require_service(response)
                content = await response.content.read(est.BODY_BYTES_MAX + 1)
                while not response.content.at_eof() and len(content) <= est.BODY_BYTES_MAX:
                    content += await response.content.read(est.BODY_BYTES_MAX + 1 - len(content))
                headers = response.headers
                reply = Reply(
                    response.status,
                    headers.get("Content-Type", ""),
                    content,
                    headers.get("Retry-After", ""),
                )
                if response.status >= 500 and response.status not in est.BUSY:
                    raise OutageError(f"the fleet answers {response.status}")
                return Said(reply, _date_us(headers.get("Date", "")))
        except aiohttp.ClientConnectorCertificateError as error:
            raise RefusedError("untrusted", f"the fleet's certificate: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            if _is_alert(error):
                raise RefusedError("handshake", "the fleet refuses our certificate") from error
            raise OutageError(str(error) or type(error).__name__) from error

    def _require_service(self, response: aiohttp.ClientResponse) -> None:
        der = response.peer_der if isinstance(response, _Response) else b""
        if not der:
            raise OutageError("the connection ended early")
        identity = parse_identity(der, self._trust_domain)
        if identity.role is not Role.SERVICE:
            raise RefusedError("identity_mismatch", f"a {identity.role} answers for the fleet")
        if identity.not_after <= self._now_us() / 1e6:
            raise RefusedError("expired", "the fleet's certificate has ended")


class _Response(aiohttp.ClientResponse):
    """Remembers whose answer it is; a short one has let go of its connection soon."""

    peer_der: bytes | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        secured = connection.transport and connection.transport.get_extra_info("ssl_object")
        self.peer_der = secured.getpeercert(binary_form=True) if secured else None
        return await super().start(connection)


def _is_alert(error: BaseException) -> bool:
    """Whether the other end refused our certificate; TLS 1.3 says so after our handshake."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError) and "ALERT" in (seen.reason or ""):
            return True
        seen = seen.__cause__ or getattr(seen, "os_error", None)
    return False


def _date_us(header: str) -> int:
    try:
        return round(parsedate_to_datetime(header).timestamp() * 1e6)
    except (ValueError, TypeError, OverflowError):
        return 0
