"""What is left at the platform that nobody knows of: ended, so that nothing is there twice.

A gateway that was killed has taken nothing back: another announcement of it, bandwidth that is
guaranteed to nobody, a subscription that calls a path that is no more. And what was made is there,
too, where the answer alone was lost. Rules:

* Only what is of our application instance and like what is made anew is ended, before that is made;
  once per start, since a platform that was started anew has none of it, and again after each answer
  that did not come.
* A platform that lists nothing of the kind, or does not let go, leaves it where it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote

from gateway.domain.errors import MalformedError
from gateway.mec.http import TRIES_MAX, Answer, Platform, PlatformError, ProblemError
from gateway.mec.reading import decoded

log = logging.getLogger(__name__)

LEFTOVERS_MAX: Final = 64
"""Ended at one start."""


class Leftovers:
    """Of one kind.

    Args:
        platform: the client.
        collection: the URL below which each is.
        query: what is asked for behind it.
        named: the names of those that are ours, in what the platform lists; may raise KeyError,
            TypeError or AttributeError for what is no list of the kind.
    """

    def __init__(
        self,
        platform: Platform,
        collection: str,
        query: str,
        named: Callable[[Any], Iterable[str]],
    ) -> None:
        self._platform = platform
        self._collection = collection
        self._query = query
        self._named = named
        self._looked = False

    async def make(self, body: Any) -> Answer:
        """POST one to the collection, once what is left of ours there is ended.

        Raises:
            PlatformError: not now; it may be there all the same, and is ended before the next.
            ProblemError: the platform refuses.
        """
        tried = 0
        while True:
            await self.end()
            try:
                return await self._platform.call(
                    "POST", self._collection, body, expect=(201,), once=True
                )
            except PlatformError:
                self._looked = False
                tried += 1
                if tried >= TRIES_MAX:
                    raise

    async def end(self) -> None:
        """End them; nothing the second time.

        Raises:
            PlatformError: the platform can't be asked now.
        """
        if self._looked:
            return
        try:
            answer = await self._platform.call("GET", f"{self._collection}{self._query}")
            names = list(self._named(decoded(answer.body, Any, "list")))
        except (ProblemError, MalformedError, KeyError, TypeError, AttributeError):
            names = []
        for name in [each for each in names if isinstance(each, str) and each][:LEFTOVERS_MAX]:
            log.info("what a gateway before this one left is ended, at %s", self._collection)
            try:
                await self._platform.end(f"{self._collection}/{quote(name, safe='')}")
            except ProblemError as error:
                log.info("it is left there: %s", error)
        self._looked = True
