"""Messages of ours to the broker, for the ward's screens and pagers: QoS 1, one receipt each.

A message is sent when the broker's PUBACK says so. With MQTT 5.0 the PUBACK also says when the
broker refuses it, and when nobody has subscribed (3.4.2.1): both count as not sent. With 3.1.1 it
says neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

import aiomqtt
from paho.mqtt.client import MQTT_ERR_SUCCESS
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.domain.errors import NotSentError

SENDS_MAX: Final = 512
"""Messages whose receipt is waited for."""
_NOBODY = 0x10
"""No matching subscribers."""
_REFUSED_FROM = 0x80
_QOS = 1


class Sending:
    """What is on its way over one connection after the other; used on the event loop."""

    def __init__(self, *, is_v5: bool) -> None:
        self._is_v5 = is_v5
        self._client: aiomqtt.Client | None = None
        self._receipts: dict[int, asyncio.Future[int]] = {}

    @property
    def client(self) -> aiomqtt.Client | None:
        """The one that is connected."""
        return self._client

    def prepare(self, client: aiomqtt.Client) -> None:
        """A client that is about to connect: its receipts are looked at here, too."""
        paho: Any = client._client  # noqa: SLF001 - docs/decisions/0004; the library drops the code
        known: Callable[..., None] = paho.on_publish

        def on_publish(of: Any, data: Any, mid: int, code: Any, properties: Any) -> None:
            receipt = self._receipts.pop(mid, None)
            if receipt is not None and not receipt.done():
                receipt.set_result(int(getattr(code, "value", code)))
            known(of, data, mid, code, properties)

        paho.on_publish = on_publish

    def connected(self, client: aiomqtt.Client) -> None:
        """It is."""
        paho: Any = client._client  # noqa: SLF001 - as above
        with contextlib.suppress(OSError):
            # Else a second message waits for the TCP acknowledgement of the first: 40 ms.
            paho.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client

    def lost(self) -> None:
        """It is no more; nobody knows whether what was on its way has arrived."""
        self._client = None
        receipts, self._receipts = self._receipts, {}
        for receipt in receipts.values():
            if not receipt.done():
                receipt.set_exception(NotSentError("connection_lost"))

    async def send(self, topic: str, payload: bytes, expires_s: int, timeout_s: float) -> None:
        """Publish; returns when the broker has it.

        Raises:
            NotSentError: it has not, or nobody knows.
        """
        client = self._client
        if client is None:
            raise NotSentError("not_connected")
        if len(self._receipts) >= SENDS_MAX:
            raise NotSentError("too_many")
        paho: Any = client._client  # noqa: SLF001 - as above: the library does not tell the id
        info = paho.publish(topic, payload, _QOS, False, self._properties(expires_s))
        if info.rc != MQTT_ERR_SUCCESS:
            raise NotSentError("not_connected")
        receipt: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._receipts[info.mid] = receipt
        try:
            async with asyncio.timeout(timeout_s):
                code = await receipt
        except TimeoutError as error:
            raise NotSentError("no_answer") from error
        finally:
            if self._receipts.get(info.mid) is receipt:
                del self._receipts[info.mid]
        if code == _NOBODY:
            raise NotSentError("nobody_listens")
        if code >= _REFUSED_FROM:
            raise NotSentError("refused")

    def _properties(self, expires_s: int) -> Properties | None:
        if not self._is_v5:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = expires_s
        properties.ContentType = "application/json"
        return properties
