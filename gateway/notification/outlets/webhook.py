"""A service that takes notifications as HTTPS requests.

POST with the message as JSON body, and an ``Idempotency-Key`` that stays the same whenever the same
notification is sent again. 2xx: it has it; everything else, and no answer: it has not. Nothing is
followed elsewhere, no proxy is used. The service is dialled as any destination is
(:mod:`gateway.dial`): its address looked at, its key pinned.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.dial import MisdirectedError, NotReachedError, Route, route
from gateway.domain.errors import ConfigError, NotSentError
from gateway.notification import message
from gateway.notification.config import WebhookOutlet
from gateway.notification.outlets.sender import Letter
from security.files import TlsFiles
from security.tls import https_context

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
CONNECTION_S_MAX: Final = 60.0
"""After so long name and key are looked at anew."""
REPLY_BYTES_MAX: Final = 4096
"""What a reply says is not asked; so much of it is read, to keep the connection."""


class WebhookSender:
    """A Sender."""

    every_s = 0.0

    def __init__(
        self,
        outlet: WebhookOutlet,
        own: TlsFiles,
        secret: Callable[[Path], bytes],
        monotonic: Callable[[], float],
    ) -> None:
        self._outlet = outlet
        self._own = own
        self._secret = secret
        self._monotonic = monotonic
        self._session: aiohttp.ClientSession | None = None
        self._way: Route | None = None
        self._opened = 0.0
        self._opening = asyncio.Lock()

    async def send(self, letter: Letter) -> None:
        """POST it."""
        try:
            async with asyncio.timeout(self._outlet.answer_s):
                session, way = await self._connected()
                await self._post(session, way, letter)
        except TimeoutError as error:
            await self.close()
            raise NotSentError("no_answer") from error
        except (NotReachedError, MisdirectedError) as error:
            raise NotSentError(error.reason) from error
        except ConfigError as error:
            raise NotSentError("certificate") from error
        except (aiohttp.ClientError, OSError) as error:
            await self.close()
            raise NotSentError(_reason(error)) from error

    async def _post(self, session: aiohttp.ClientSession, way: Route, letter: Letter) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": letter.key}
        if self._outlet.bearer is not None:
            headers["Authorization"] = f"Bearer {bearer(self._secret(self._outlet.bearer))}"
        _, _, port = self._outlet.address.rpartition(":")
        host = f"[{way.name}]" if ":" in way.name else way.name
        async with session.post(
            f"https://{host}:{port}{self._outlet.path}",
            data=message.encode(letter.message),
            headers=headers,
            allow_redirects=False,
            server_hostname=way.name,
        ) as response:
            await response.content.read(REPLY_BYTES_MAX)
            if not 200 <= response.status < 300:
                raise NotSentError(f"status_{response.status}")

    async def _connected(self) -> tuple[aiohttp.ClientSession, Route]:
        async with self._opening:
            fresh = self._monotonic() - self._opened < CONNECTION_S_MAX
            if self._session is None or self._way is None or not fresh:
                await self.close()
                outlet, files = self._outlet, self._outlet.files(self._own)
                way = await route(outlet.dials, files)
                context = https_context(
                    files, shows_certificate=outlet.bearer is None, anchor=way.anchor
                )
                connector = aiohttp.TCPConnector(ssl=context, resolver=_Fixed(way.door))
                self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
                self._way, self._opened = way, self._monotonic()
            return self._session, self._way

    async def look(self) -> None:
        """It is not asked."""

    async def close(self) -> None:
        """Close its connections."""
        session, self._session, self._way = self._session, None, None
        if session is not None:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await session.close()


class _Fixed(AbstractResolver):
    """Knows one address: the one that was looked at."""

    def __init__(self, door: str) -> None:
        host, _, _ = door.rpartition(":")
        self._host = host.strip("[]")

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        """That address, whatever the name."""
        return [
            ResolveResult(
                hostname=host, host=self._host, port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""


def bearer(secret: bytes) -> str:
    """The token of a secret file (RFC 6750, 2.1).

    Raises:
        ConfigError: it has none.
    """
    found = secret.decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(found):
        raise ConfigError("bearer: the file holds no token")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "untrusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "handshake"
    return "unavailable"
