"""A ward's screens and pagers, through a driver that sends.

Notifications go to ``topic``, signs of life to ``topic/alive``, answers come on
``topic/answers/<screen>``: who answers is who the broker lets publish there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.domain.errors import NotSentError
from gateway.domain.ports import Messenger
from gateway.domain.statements import Statement
from gateway.notification import message
from gateway.notification.config import MqttOutlet
from gateway.notification.outlets.sender import Letter

EXPIRES_S: Final = 3600
"""A screen that was away for longer is not told what was."""
SUMMARY_EXPIRES_S: Final = 60

Read = Callable[[str, str, bytes], Statement]
"""Outlet, screen and payload -> what it says; raises MalformedError."""


class MqttSender:
    """A Sender."""

    def __init__(
        self,
        outlet: MqttOutlet,
        gateway: str,
        now_us: Callable[[], int],
        find: Callable[[str], Messenger | None],
        read: Read,
    ) -> None:
        self._outlet = outlet
        self._gateway = gateway
        self._now_us = now_us
        self._find = find
        self._read = read
        self._messenger: Messenger | None = None
        self.every_s = outlet.alive_s
        self.listen()

    def listen(self) -> Messenger | None:
        """The driver as it is now; another than before is asked for answers, too."""
        messenger = self._find(self._outlet.driver)
        if messenger is not None and messenger is not self._messenger:
            messenger.listen(f"{self._outlet.topic}/answers/+", self._answer)
        self._messenger = messenger
        return messenger

    async def send(self, letter: Letter) -> None:
        """Publish it."""
        expires_s = EXPIRES_S if letter.alarm_id else SUMMARY_EXPIRES_S
        await self._publish(self._outlet.topic, message.encode(letter.message), expires_s)

    async def look(self) -> None:
        """Publish a sign of life, which also finds out whether anybody listens."""
        alive = message.alive(self._gateway, self._now_us(), self.every_s)
        topic = f"{self._outlet.topic}/alive"
        await self._publish(topic, message.encode(alive), max(1, round(self.every_s)))

    async def _publish(self, topic: str, payload: bytes, expires_s: int) -> None:
        messenger = self.listen()
        if messenger is None:
            raise NotSentError("no_driver")
        await messenger.send(topic, payload, expires_s, self._outlet.answer_s)

    async def close(self) -> None:
        """The connection is the driver's."""

    def _answer(self, topic: str, payload: bytes) -> Statement:
        return self._read(self._outlet.name, topic.rpartition("/")[2], payload)
