"""``FenceService``: where devices are, for people on site."""

from __future__ import annotations

from gateway.domain.network import LinkSeen
from gateway.domain.ports import Clock
from gateway.fence.fence import Fence
from gateway.fence.links import Links
from gateway.local.access import ANY, Caller
from gateway.local.calls import Service, Unary
from protos.wardgate.v1 import fence_pb2 as pb


def fence_service(fence: Fence, links: Links, clock: Clock) -> Service:
    """The service."""

    async def all_(_caller: Caller, _request: pb.ListFencedRequest) -> pb.ListFencedResponse:
        heard = links.all()
        known = {each.device_id: each for each in fence.list()}
        devices = []
        for device_id in sorted(known.keys() | heard.keys()):
            told = pb.FencedDevice(device_id=device_id)
            found = known.get(device_id)
            if found is not None:
                setattr(told, "class", found.class_name)  # a word of Python's own
                told.state = found.state.value
                told.zones.extend(found.zones)
                told.ward = found.ward
                told.seen_us = found.seen_us
            if device_id in heard:
                told.link.CopyFrom(_link(heard[device_id]))
            devices.append(told)
        return pb.ListFencedResponse(devices=devices, now_us=clock.now_us())

    method = Unary("ListFenced", pb.ListFencedRequest, all_, ANY)
    return Service("wardgate.v1.FenceService", (method,))


def _link(seen: LinkSeen) -> pb.RadioLink:
    return pb.RadioLink(
        cell=seen.cell,
        rsrp_dbm=seen.rsrp_dbm,
        rsrq_db=seen.rsrq_db,
        sinr_db=seen.sinr_db,
        at_us=seen.at_us,
    )
