"""One HTTPS client for all of the platform's interfaces (ETSI GS MEC 009).

Rules:

* Every call has a time, a bound on what is read, and a token where one is configured; one that is
  refused (401) is renewed, and the call made once more.
* A call that failed for a reason that passes (no connection, 429, 5xx) is tried again a few times
  with growing, jittered pauses, ``Retry-After`` kept within bounds; then the caller hears of it.
* Redirects are not followed, proxies not used, and answers are not compressed: what is read is
  what was sent.
* Problems are told as the platform tells them (RFC 7807), cut.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import aiohttp

from gateway.domain.errors import ConfigError, MalformedError, WardgateError
from gateway.domain.ports import Clock, Counters
from gateway.mec import oauth
from gateway.mec.config import TokenTable
from gateway.mec.reading import decoded
from security.files import read_secret

BODY_BYTES_MAX: Final = 8 << 20
"""Some 20,000 users of a zone, as GS MEC 013 lists them."""
GONE: Final = (204, 404, 410)
"""What says that something is no longer there."""
TRIES_MAX: Final = 3
PAUSE_S: Final = 0.2
PAUSE_S_MAX: Final = 5.0
DETAIL_CHARS_MAX: Final = 200
PASSING: Final = frozenset((408, 425, 429, 500, 502, 503, 504))


class PlatformError(WardgateError):
    """The platform can't be asked now: no connection, no answer, or it is busy."""

    reason = "platform"


class TokenError(PlatformError):
    """Nobody gives a token for our name and secret now: asking again at once does not help."""


class ProblemError(WardgateError):
    """The platform refuses the call; ``status`` is HTTP's."""

    reason = "problem"

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}" if detail else str(status))
        self.status = status


class Answer(NamedTuple):
    """What the platform said."""

    status: int
    body: bytes
    location: str = ""
    etag: str = ""


class Platform:
    """The client. Made once; :meth:`close` it.

    Args:
        context: shows our certificate, and checks the platform's; None: HTTP on loopback.
        token: how tokens are got; None: the platform wants none.
        timeout_s: of one try.
        clock: monotonic time.
        counters: counts ``counted`` by result.
        rng: for the pauses.
        counted: the metric.
    """

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext | None],
        token: TokenTable | None,
        timeout_s: float,
        clock: Clock,
        counters: Counters,
        rng: Random,
        counted: str = "mec_calls",
    ) -> None:
        self._counted = counted
        self._context = context
        self._table = token
        self._timeout_s = timeout_s
        self._clock = clock
        self._counters = counters
        self._rng = rng
        self._session: aiohttp.ClientSession | None = None
        self._used: ssl.SSLContext | None = None
        self._token: oauth.Token | None = None
        self._closed = False

    async def close(self) -> None:
        """End connections, and make no more; idempotent."""
        self._closed = True
        await self._disconnect()

    async def _disconnect(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        expect: tuple[int, ...] = (200,),
        once: bool = False,
    ) -> Answer:
        """One call, tried again where that may help.

        Args:
            method: of HTTP.
            url: absolute.
            body: what becomes JSON; None: nothing.
            headers: besides ``Authorization``.
            expect: the statuses that are good.
            once: it is not tried again: what it makes would be there twice if an answer was lost.

        Raises:
            PlatformError: it can't be asked now; it may have been done all the same.
            ProblemError: it refuses.
        """
        said = dict(headers or {})
        renewed = False
        tried = 0
        while True:
            try:
                if self._table is not None:
                    said["Authorization"] = (await self._authorization()).header
                answer, after_s = await self._once(method, url, body, said)
            except PlatformError as error:
                after_s = 0.0
                tried += 1
                if once or tried >= TRIES_MAX or isinstance(error, TokenError):
                    self._counters.add(self._counted, "away")
                    raise
            else:
                if answer.status == 401 and self._table is not None and not renewed:
                    self._token, renewed = None, True
                    continue
                tried += 1
                if once or answer.status not in PASSING or tried >= TRIES_MAX:
                    return self._judged(answer, expect)
            await asyncio.sleep(self._pause(tried, after_s))

    async def look(self, url: str) -> bytes | None:
        """Something that was made, as it is now; None: platforms forget what they are told.

        Raises:
            PlatformError, ProblemError: as :meth:`call`, but for 404 and 410.
        """
        try:
            return (await self.call("GET", url)).body
        except ProblemError as error:
            if error.status in GONE:
                return None
            raise

    async def knows(self, url: str) -> bool:
        """Whether something that was made is still there.

        Raises:
            PlatformError, ProblemError: as :meth:`look`.
        """
        return await self.look(url) is not None

    async def end(self, url: str) -> None:
        """DELETE something that was made; that it is gone already is no news.

        Raises:
            PlatformError, ProblemError: as :meth:`call`.
        """
        await self.call("DELETE", url, expect=(200, *GONE))

    def _judged(self, answer: Answer, expect: tuple[int, ...]) -> Answer:
        if answer.status in expect:
            self._counters.add(self._counted, "ok")
            return answer
        if answer.status in PASSING:
            self._counters.add(self._counted, "busy")
            raise PlatformError(f"the platform answers {answer.status}")
        self._counters.add(self._counted, "refused")
        raise ProblemError(answer.status, _detail(answer.body))

    def _pause(self, tried: int, after_s: float) -> float:
        grown: float = min(PAUSE_S * 2.0**tried, PAUSE_S_MAX)
        return max(min(after_s, PAUSE_S_MAX), grown * self._rng.uniform(0.5, 1.0))

    async def _authorization(self) -> oauth.Token:
        mono = self._clock.monotonic()
        if self._token is None or mono >= self._token.renew_at:
            self._token = await self._fetch()
        return self._token

    async def _fetch(self) -> oauth.Token:
        """A new token.

        Raises:
            PlatformError: nobody gives one now; also one that refuses us, since its answer to a
                wrong secret and to one that is not known yet is the same (:class:`TokenError`).
        """
        table = self._table
        if table is None:
            raise PlatformError("no token is configured")
        try:
            secret = read_secret(table.secret).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PlatformError(f"{table.secret}: can't be read") from error
        answer, _ = await self._exchange(
            "POST",
            table.endpoint,
            {"data": oauth.form(table.client_id, table.scope)},
            {
                "Authorization": aiohttp.encode_basic_auth(table.client_id, secret),
                "Accept": "application/json",
            },
        )
        if answer.status in PASSING:
            raise PlatformError(f"the token endpoint answers {answer.status}")
        if answer.status != 200:
            raise TokenError(f"the token endpoint answers {answer.status}")
        try:
            return oauth.parse(answer.body, self._clock.monotonic())
        except MalformedError as error:
            raise PlatformError(f"the token endpoint's answer is none: {error}") from error

    async def _once(
        self, method: str, url: str, body: Any, headers: dict[str, str]
    ) -> tuple[Answer, float]:
        content: dict[str, Any] = {}
        if body is not None:
            content = {"data": json.dumps(body).encode()}
            headers = headers | {"Content-Type": "application/json"}
        return await self._exchange(method, url, content, headers)

    async def _exchange(
        self, method: str, url: str, content: dict[str, Any], headers: dict[str, str]
    ) -> tuple[Answer, float]:
        try:
            async with (await self._connected()).request(
                method, url, headers=headers, allow_redirects=False, **content
            ) as response:
                read = await response.content.read(BODY_BYTES_MAX + 1)
                while not response.content.at_eof() and len(read) <= BODY_BYTES_MAX:
                    read += await response.content.read(BODY_BYTES_MAX + 1 - len(read))
                if len(read) > BODY_BYTES_MAX:
                    raise PlatformError("the platform's answer is too long")
                told = response.headers
                answer = Answer(response.status, read, _said(told, "Location"), _said(told, "ETag"))
                return answer, _seconds(told.get("Retry-After", ""))
        except (aiohttp.ClientError, OSError, TimeoutError, ConfigError) as error:
            raise PlatformError(f"the platform can't be reached: {_words(error)}") from error

    async def _connected(self) -> aiohttp.ClientSession:
        """The session; a new one when our certificate is another."""
        if self._closed:
            raise PlatformError("the gateway stops")
        context = self._context()
        if self._session is None or context is not self._used:
            before, self._used = self._session, context
            connector = aiohttp.TCPConnector(ssl=context if context is not None else True, limit=8)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            if before is not None:
                await before.close()  # who is using it begins anew
        return self._session


def made_name(answer: Answer, *path: str) -> str:
    """By which name something that was made is known.

    Only the last part of its URL counts, below the collection that was asked: vendors give absolute
    and relative URLs, some with a host by which they know themselves.

    Args:
        answer: to the POST.
        path: where the body has its name or its URL, besides ``_links.self.href``; it counts before
            the ``Location``, which counts before that.

    Raises:
        PlatformError: the platform does not say.
    """
    said = (_at(answer.body, path) if path else "") or answer.location or _at(answer.body, _SELF)
    name = last_part(said)
    if not name:
        raise PlatformError("the platform does not say where it is")
    return name


_SELF: Final = ("_links", "self", "href")


def _at(body: bytes, path: tuple[str, ...]) -> str:
    """A word within an answer; empty: it is not there."""
    try:
        found: Any = decoded(body, dict[str, Any], "resource")
        for key in path:
            found = found[key]
    except (MalformedError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""


def last_part(place: str) -> str:
    """The last part of a URL's path; of what has none, of all."""
    try:
        path = urlsplit(place).path if "/" in place else ""
    except ValueError:
        path = ""
    return unquote((path.rstrip("/") or place.rstrip("/")).rpartition("/")[2])


def _said(headers: Mapping[str, str], name: str) -> str:
    """A header; one that is no ASCII says nothing, and could not be said back either."""
    value = headers.get(name, "")
    return value if value.isascii() else ""


def _seconds(header: str) -> float:
    """``Retry-After`` in seconds (RFC 9110, 10.2.3); a date counts as nothing said."""
    is_number = header.isascii() and header.isdigit() and len(header) < 6
    return float(header) if is_number else 0.0


def _detail(body: bytes) -> str:
    try:
        found = decoded(body, dict[str, Any], "problem")
    except MalformedError:
        return ""
    # RFC 7807; CAMARA's ErrorInfo has a message.
    text = found.get("detail") or found.get("title") or found.get("message") or ""
    printable = "".join(char for char in str(text) if char.isprintable())
    return printable[:DETAIL_CHARS_MAX]


def _words(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:DETAIL_CHARS_MAX]
