"""EST's client end (RFC 7030): asks the fleet for its certificates, and for a new one of ours.

Rules:

* Every request shows a certificate of ours and takes the fleet's only for the host's name, from a
  trusted root, and as a service of our trust domain. The codec is :mod:`security.est`.
* What the listener says in the ``Date`` header is proved by its certificate, and is told.
* A connection per request, no proxy, no redirect, answers bounded in size and time.

HTTP is in :mod:`gateway.estexchange`, which is loaded with the first request: its library is a
fifth of what a gateway would load at its start, and a certificate is renewed once in months.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from importlib import import_module
from urllib.parse import urlsplit

from cryptography import x509

from gateway.domain.errors import ConfigError, MalformedError, RefusedError
from gateway.estanswer import OutageError, Said
from security import est, pki
from security.est import Operation
from security.names import Role, parse_identity


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
        await asyncio.to_thread(
            import_module, "gateway.estexchange"
        )  # not in the loop: it takes long
        from gateway.estexchange import exchange  # noqa: PLC0415

        return await exchange(
            context, f"{self._base}/{operation}", body, self._server_name, self._require_service
        )

    def _require_service(self, der: bytes) -> None:
        identity = parse_identity(der, self._trust_domain)
        if identity.role is not Role.SERVICE:
            raise RefusedError("identity_mismatch", f"a {identity.role} answers for the fleet")
        if identity.not_after <= self._now_us() / 1e6:
            raise RefusedError("expired", "the fleet's certificate has ended")
