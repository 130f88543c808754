"""Plays the device's part of conversations.

Rules:

- What the device said goes to the gateway in the recorded order, with the recorded pauses divided
  by the speed, or at once.
- Turns are kept: where the device's word followed one of its peer, it waits until the gateway has
  said something since the device's last word, so that a handshake works. For its first word the
  gateway has ``first_turn_s``, then ``turn_s``.
- A gateway that does not take a turn follows another dialogue than the recorded one (it asks less
  often, say): from then on the clock alone decides, and the summary says so.
- What the gateway says is counted and not compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from firmware_sim.playback.conversation import Conversation, Side
from firmware_sim.playback.pace import Pace
from firmware_sim.playback.way import GoneError, Way

TURN_S: Final = 5.0
FIRST_TURN_S: Final = 60.0
LAST_WORDS_S: Final = 5.0
"""For the gateway's answer to the last word."""


class Progress(NamedTuple):
    """How far it has come."""

    sent_bytes: int
    of_bytes: int
    heard_bytes: int


class Summary(NamedTuple):
    """What was played."""

    conversations: int
    pieces: int
    sent_bytes: int
    heard_bytes: int
    """From the gateway."""
    turns: int
    """That the recording has, and that were waited for."""
    turns_taken: int
    seconds: float
    recorded_seconds: float


class Player:
    """Plays one conversation after another, each on a way of its own.

    Args:
        make_way: a new way to the gateway.
        speed: 1 as recorded; 0 as fast as possible.
        first_turn_s: for the gateway's first word.
        told: called after each piece.
    """

    def __init__(
        self,
        make_way: Callable[[], Way],
        speed: float,
        first_turn_s: float = FIRST_TURN_S,
        told: Callable[[Progress], None] = lambda _progress: None,
    ) -> None:
        self._make_way = make_way
        self._speed = speed
        self._first_turn_s = first_turn_s
        self._told = told
        self._of_bytes = self._pieces = self._sent = self._heard = 0
        self._turns = self._taken = 0

    async def play(self, conversations: Iterable[Conversation]) -> Summary:
        """Play all of them.

        Raises:
            GoneError: the gateway was not there, or went before the device's last word.
        """
        loop = asyncio.get_running_loop()
        begun, every = loop.time(), list(conversations)
        self._of_bytes = sum(each.bytes_of(Side.DEVICE) for each in every)
        for each in every:
            way = self._make_way()
            try:
                await way.open()
                await self._one(each, way)
            finally:
                await way.close()
            self._heard += way.heard_bytes
        return Summary(
            len(every),
            self._pieces,
            self._sent,
            self._heard,
            self._turns,
            self._taken,
            loop.time() - begun,
            sum(each.seconds for each in every),
        )

    async def _one(self, conversation: Conversation, way: Way) -> None:
        loop, pace = asyncio.get_running_loop(), Pace(self._speed)
        peer_spoke, keeps_turns, heard_before = False, True, 0
        patience_s = self._first_turn_s
        for piece in conversation.pieces:
            if piece.side is Side.PEER:
                peer_spoke = True
                continue
            if peer_spoke and keeps_turns:
                self._turns += 1
                keeps_turns = await way.said_since(heard_before, patience_s)
                self._taken += keeps_turns
            patience_s = TURN_S
            peer_spoke, heard_before = False, way.heard_bytes
            now = loop.time()
            due = pace.due(piece.at_us, now)
            if due > now:
                await asyncio.sleep(due - now)
            await way.send(piece.data)
            self._pieces += 1
            self._sent += len(piece.data)
            self._told(Progress(self._sent, self._of_bytes, self._heard + way.heard_bytes))
        if peer_spoke and keeps_turns:
            await self._last_words(way, heard_before)

    async def _last_words(self, way: Way, heard_before: int) -> None:
        """Let the gateway answer before the connection ends; that it hangs up is an answer."""
        self._turns += 1
        try:
            self._taken += await way.said_since(heard_before, LAST_WORDS_S)
        except GoneError:
            self._taken += 1
