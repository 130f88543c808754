"""What was left at a platform: found, ended once, and never what is another's."""

import json
from typing import Any, cast

import pytest

from gateway.mec.bandwidth import Bandwidth, bw_info
from gateway.mec.config import BandwidthTable
from gateway.mec.http import Answer, PlatformError, ProblemError
from gateway.mec.leftovers import LEFTOVERS_MAX, Leftovers

AT = "https://mep/things"


class Platform:
    def __init__(self, listed, end=None):
        self.listed, self._end = listed, end
        self.asked, self.ended = [], []

    async def call(self, method, url, *_words, **_facts):
        self.asked.append(f"{method} {url}")
        if isinstance(self.listed, Exception):
            raise self.listed
        if method == "POST":
            return Answer(201, b"", "/new")
        body = self.listed if isinstance(self.listed, bytes) else json.dumps(self.listed).encode()
        return Answer(200, body)

    async def end(self, url):
        self.ended.append(url)
        if self._end:
            raise self._end


def leftovers(platform):
    return Leftovers(platform, AT, "?x=1", lambda listed: [each["id"] for each in listed])


async def test_each_is_ended_once():
    platform = Platform([{"id": "a/b"}, {"id": ""}, {"id": None}, {"id": "c"}])
    one = leftovers(platform)
    await one.end()
    await one.end()
    assert platform.asked == [f"GET {AT}?x=1"]
    assert platform.ended == [f"{AT}/a%2Fb", f"{AT}/c"]


async def test_there_is_an_end_of_ending():
    platform = Platform([{"id": str(n)} for n in range(LEFTOVERS_MAX + 1)])
    await leftovers(platform).end()
    assert len(platform.ended) == LEFTOVERS_MAX


@pytest.mark.parametrize(
    "listed", [b"", b"[" * 100_000, {}, [3], [{}], {"id": "a"}, ProblemError(405, "no")]
)
async def test_what_is_no_list_leaves_everything(listed):
    platform = Platform(listed)
    await leftovers(platform).end()
    assert not platform.ended


async def test_what_is_not_let_go_keeps_nothing_from_being_made():
    platform = Platform([{"id": "a"}, {"id": "b"}], ProblemError(403, "no"))
    await leftovers(platform).end()
    assert len(platform.ended) == 2


async def test_a_platform_that_is_away_is_asked_again():
    platform = Platform(PlatformError("away"))
    one = leftovers(platform)
    with pytest.raises(PlatformError):
        await one.end()
    platform.listed = [{"id": "a"}]
    await one.end()
    assert platform.ended == [f"{AT}/a"]


async def test_bandwidth_of_another_session_is_left():
    info = bw_info(BandwidthTable(1000), "i", "10.1.2.3:7443")
    listed = [
        info | {"allocationId": "ours", "fixedAllocation": "5"},
        bw_info(BandwidthTable(1000), "i", "10.1.2.4:7443") | {"allocationId": "elsewhere"},
        bw_info(BandwidthTable(1000), "i", "") | {"allocationId": "as a whole"},
        bw_info(BandwidthTable(1000), "j", "10.1.2.3:7443") | {"allocationId": "another's"},
    ]
    platform = Platform(listed)
    bandwidth = Bandwidth(cast("Any", platform), "https://mep/bwm", info)
    assert await bandwidth.ensure()
    assert platform.ended == ["https://mep/bwm/bw_allocations/ours"]
    assert platform.asked[0] == "GET https://mep/bwm/bw_allocations?app_instance_id=i"
    assert bandwidth.allocation_id == "new"
