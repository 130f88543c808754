"""Asking an SMF to end a session (RFC 5176), over UDP.

Rules: the same packet is sent again, a bounded number of times (2.3: a retransmission is no new
request); an answer that is not right is left, as if it had not come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from fleet.radius import codec
from fleet.radius.codec import Answer, Target
from gateway.domain.errors import MalformedError

WAITS_S: Final = (1.0, 2.0, 4.0)
"""After each sending; the last ends the attempt."""

log = logging.getLogger(__name__)


async def disconnect(
    place: tuple[str, int],
    target: Target,
    secret: bytes,
    identifier: int,
    at_s: int,
    waits_s: Sequence[float] = WAITS_S,
) -> Answer | None:
    """Ask for the end of one session; None: no answer that is right.

    Raises:
        OSError: there is no way to the SMF.
        ValueError: the session has a name that no packet can carry.
    """
    packet = codec.request(target, identifier, at_s, secret)
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Listener(packet, secret, answered), remote_addr=place
    )
    try:
        for wait_s in waits_s:
            transport.sendto(packet)
            done, _ = await asyncio.wait({answered}, timeout=wait_s)
            if done:
                return answered.result()
    finally:
        transport.close()
    return None


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, sent: bytes, secret: bytes, answered: asyncio.Future[Answer]) -> None:
        self._sent, self._secret, self._answered = sent, secret, answered

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr  # the socket is connected
        try:
            found = codec.answer(data, self._sent, self._secret)
        except MalformedError as error:
            log.warning("an answer to a Disconnect-Request is none: %s", error.reason)
            return
        if not self._answered.done():
            self._answered.set_result(found)

    def error_received(self, exc: Exception) -> None:
        log.info("a Disconnect-Request does not arrive: %s", exc)
