"""Two devices of the demo go out: one leaves the campus and comes back, one goes into another ward.

The simulated platform says where they are; the gateway's own metrics say what it made of it, and
when. So a slow machine makes the outing longer, not wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp

from demo.account import Sent, read_sim_log
from demo.scrape import Samples, total
from firmware_sim.mec.location import Whereabouts

LEAVER, ROAMER = "pod-01", "pod-02"
NUMBERS: Final = {LEAVER: "8613800000001", ROAMER: "8613800000002"}
"""Telephone numbers, by which the network knows them."""
HOME, NEXT, TOWN = "zone-ward-3", "zone-ward-4", "zone-town"
WARD, NEXT_WARD = "ward-3", "ward-4"
LEAVES_AT_S, OUT_FOR_S = 2.5, 5.0
GRACE_S, SETTLE_S = 0.5, 2.0
POLL_S = 0.2
FENCE: Final = f"""
[fence]
grace_s = {GRACE_S}
settle_s = {SETTLE_S}
roaming = "follow"

[[fence.zones]]
zone = "{HOME}"
ward = "{WARD}"

[[fence.zones]]
zone = "{NEXT}"
ward = "{NEXT_WARD}"

[[fence.zones]]
zone = "{TOWN}"
campus = false

[sim]
outside_fence = "quarantine"
"""


Look = Callable[[], Awaitable[Samples]]
"""At a process's metrics."""


def gpsis() -> dict[str, str]:
    """What the registry binds devices to."""
    return {device_id: f"msisdn-{number}" for device_id, number in NUMBERS.items()}


class Moments(NamedTuple):
    """When what happened, microseconds; 0: not in this run."""

    left_us: int = 0
    """Just before the network says that it left."""
    held_us: int = 0
    """The gateway holds it back."""
    back_us: int = 0
    """Just before the network says that it is back."""
    free_us: int = 0
    """The gateway holds it back no longer."""
    roamed_us: int = 0
    """The gateway has heard that the other one is in another ward."""
    ended_us: int = 0
    """The ward has stopped."""

    def is_out(self, sent: Sent) -> bool:
        """Whether a message was sent and acknowledged while its device was held back."""
        until_us = self.back_us or self.ended_us or sent.acknowledged_us + 1
        return 0 < self.held_us < sent.sent_us and 0 < sent.acknowledged_us < until_us

    def may_be_out(self, sent: Sent) -> bool:
        """Whether the gateway may have taken it between the words of its leaving and its return."""
        before = 0 < sent.acknowledged_us < self.left_us
        after = 0 < self.free_us < sent.sent_us
        return bool(self.left_us) and not before and not after


class Outing:
    """What both devices do, once.

    Args:
        users: where the network sees them.
        look: at the gateway's metrics.
        sim_log: what the devices saw.
    """

    def __init__(self, users: Whereabouts, look: Look, sim_log: Path) -> None:
        self._users = users
        self._look = look
        self._sim_log = sim_log
        self.moments = Moments()

    async def play(self) -> None:
        """Both are in their ward; then one leaves the campus, and the other goes next door."""
        began = time.monotonic()
        for device_id in NUMBERS:
            await _told(self._users.enter(_address(device_id), HOME))
        await until(
            self._look, lambda seen: total(seen, "wardgate_fence_devices", state="inside") >= 2
        )
        await asyncio.sleep(max(0.0, began + LEAVES_AT_S - time.monotonic()))
        self._note(left_us=_now_us())
        await self._go(LEAVER, TOWN, HOME)
        if await self._go(ROAMER, NEXT, HOME):
            self._note(roamed_us=_now_us())
        await until(self._look, _holds)
        self._note(held_us=_now_us())
        await asyncio.sleep(OUT_FOR_S)
        while not await asyncio.to_thread(self._has_spoken):  # noqa: ASYNC110  # it is a file
            await asyncio.sleep(POLL_S)
        await self._return()
        await until(self._look, lambda seen: bool(seen) and not _holds(seen))
        self._note(free_us=_now_us())

    @property
    def returning(self) -> bool:
        """Whether the leaver is on campus again, and the gateway was not seen to know it."""
        return bool(self.moments.back_us) and not self.moments.free_us

    async def end(self) -> None:
        """The ward stops: whoever is still out comes back."""
        self._note(ended_us=_now_us())
        if self.moments.left_us and not self.moments.back_us:
            await self._return()

    async def _return(self) -> None:
        self._note(back_us=_now_us())
        await self._go(LEAVER, HOME, TOWN)

    async def _go(self, device_id: str, to: str, away_from: str) -> bool:
        """Go from one zone to another; whether the gateway heard it."""
        address = _address(device_id)
        entered = await _told(self._users.enter(address, to))
        return await _told(self._users.leave(address, away_from)) and entered

    def _has_spoken(self) -> bool:
        """Whether the gateway has taken anything of the leaver's while it held it back."""
        said = read_sim_log(self._sim_log).messages.items()
        return any(key[0] == LEAVER and self.moments.is_out(sent) for key, sent in said)

    def _note(self, **moments: int) -> None:
        self.moments = self.moments._replace(**moments)


async def until(look: Look, what: Callable[[Samples], bool]) -> None:
    """Wait until a process's metrics say so; no longer than the run."""
    while not what(await look()):  # noqa: ASYNC110  # another process says it
        await asyncio.sleep(POLL_S)


def _holds(seen: Samples) -> bool:
    return total(seen, "wardgate_devices_held") > 0


def _address(device_id: str) -> str:
    return f"tel:+{NUMBERS[device_id]}"


async def _told(telling: Awaitable[int]) -> bool:
    """The network says it; whether it was heard. A gateway that does not hear it now asks later."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        return await telling > 0
    return False


def _now_us() -> int:
    return time.time_ns() // 1000
