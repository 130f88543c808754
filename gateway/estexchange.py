"""One EST request over HTTPS, for :mod:`gateway.estclient`, whose rules it keeps."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.connector import Connection

from gateway.domain.errors import RefusedError
from gateway.estanswer import OutageError, Said
from security import est
from security.est import Reply

TIMEOUT_S = 30.0


async def exchange(
    context: ssl.SSLContext,
    url: str,
    body: bytes | None,
    server_name: str | None,
    require_service: Callable[[bytes], None],
) -> Said:
    """GET, or POST ``body``, and what was answered.

    Args:
        context: shows our certificate and checks the listener's.
        url: of the operation.
        body: a request as EST encodes it.
        server_name: in the listener's certificate, if not the host of ``url``.
        require_service: raises RefusedError if the listener's certificate (DER) is not the fleet's.

    Raises:
        RefusedError: our certificate or theirs is refused.
        OutageError: another try may work.
    """
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
                url,
                data=body,
                headers={} if body is None else {"Content-Type": est.MEDIA_CSR},
                allow_redirects=False,
                server_hostname=server_name,
            ) as response,
        ):
            der = response.peer_der if isinstance(response, _Response) else b""
            if not der:
                raise OutageError("the connection ended early")
            require_service(der)
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
