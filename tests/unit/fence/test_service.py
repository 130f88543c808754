"""What people on site are shown of fences and links."""

from gateway.domain.network import LinkSeen
from gateway.fence.links import Links
from gateway.fence.service import fence_service
from gateway.local.access import ANY, Caller
from gateway.local.calls import Unary
from protos.wardgate.v1 import fence_pb2 as pb
from tests.unit.fence.test_fence import HOME_AT, PUMP_AT, bench


async def test_every_device_is_listed_with_what_is_known_of_it():
    one = bench()
    one.looked(icu=[PUMP_AT], town=[HOME_AT])
    links = Links(lambda _addresses: ["wired-1"], one.clock)
    links.told(LinkSeen(frozenset(("10.1.7.7",)), 0, "001-01-2", rsrp_dbm=-96.0))
    service = fence_service(one.fence, links, one.clock)
    (method,) = service.methods
    assert isinstance(method, Unary)
    assert method.allowed == ANY
    told = await method.answer(Caller("local/a", ANY), pb.ListFencedRequest())
    assert isinstance(told, pb.ListFencedResponse)
    shown = {
        each.device_id: (getattr(each, "class"), each.state, list(each.zones), each.ward)
        for each in told.devices
    }
    assert shown == {
        "car-1": ("ambulance", "unknown", [], ""),
        "home-1": ("home", "inside", ["z-town"], ""),
        "pump-1": ("", "inside", ["z-icu"], "icu"),
        "wired-1": ("", "", [], ""),
    }
    link = told.devices[-1].link
    assert (link.cell, link.rsrp_dbm) == ("001-01-2", -96.0)
    assert not link.HasField("sinr_db")
    assert "1380000" not in str(told)
