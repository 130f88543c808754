"""GS MEC 015, bandwidth management: what is guaranteed to the alarms' stream."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gateway import tomlfile
from gateway.mec.config import BandwidthTable
from gateway.mec.http import Platform, made_name
from gateway.mec.leftovers import Leftovers


def bw_info(table: BandwidthTable, instance: str, address: str) -> Any:
    """``BwInfo`` of a request.

    Args:
        table: how much, and in which direction.
        instance: ``appInstanceId``.
        address: ``ip:port`` of the destination that is meant; empty: the whole application.
    """
    info: dict[str, Any] = {
        "appInsId": instance,
        "requestType": 1 if address else 0,
        "fixedAllocation": str(table.bits_per_s),
        "allocationDirection": table.direction,
    }
    if table.priority:
        info["fixedBWPriority"] = table.priority
    if address:
        host, port = tomlfile.address(address, "destination")
        info["sessionFilter"] = [{"dstAddress": host, "dstPort": [str(port)], "protocol": "6"}]
    return info


class Bandwidth:
    """One allocation.

    Every call raises PlatformError (not now) or ProblemError (refused).
    """

    def __init__(self, platform: Platform, base: str, info: Any) -> None:
        self._platform = platform
        self._base = f"{base.rstrip('/')}/bw_allocations"
        self._info = info
        self.allocation_id = ""
        self._leftovers = Leftovers(
            platform,
            self._base,
            f"?app_instance_id={quote(info['appInsId'], safe='')}",
            self._like_ours,
        )

    async def ensure(self) -> bool:
        """Ask for it, if the platform does not know it (any more); whether that was needed."""
        if self.allocation_id and await self._platform.knows(self._url):
            return False
        answer = await self._leftovers.make(self._info)
        self.allocation_id = made_name(answer, "allocationId")
        return True

    async def give_back(self) -> None:
        """End it; idempotent."""
        if self.allocation_id:
            await self._platform.end(self._url)
            self.allocation_id = ""

    def _like_ours(self, listed: Any) -> list[str]:
        """For the same session; the second release says by which id each is known."""
        keys = ("appInsId", "requestType", "sessionFilter")
        ours = [self._info.get(key) for key in keys]
        return [each["allocationId"] for each in listed if [each.get(key) for key in keys] == ours]

    @property
    def _url(self) -> str:
        return f"{self._base}/{quote(self.allocation_id, safe='')}"
