"""``InfusionService``: the view of infusions, for people on site."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, NamedTuple

from gateway.domain import terms
from gateway.domain.ports import Clock
from gateway.domain.records import DeviceState
from gateway.infusion import orders
from gateway.infusion.view import Infusions, Standing
from gateway.local.access import ANY, Caller
from gateway.local.calls import Service, Streaming, Unary, UnknownError
from gateway.pipeline.alarms.silence import is_silence
from gateway.pipeline.alarms.state import Held
from protos.wardgate.v1 import infusion_pb2 as pb

WATCH_S: Final = 1.0
"""Between two looks of who watches: as long as they may be behind."""
REFRESH_S: Final = 10.0
"""Minutes pass without any report: the list is sent again."""


class Looks(NamedTuple):
    """Where to look."""

    infusions: Infusions
    clock: Clock
    alarms_of: Callable[[str], Iterable[Held]]
    """What stands of a device."""
    state_of: Callable[[str], DeviceState | None]
    """What its driver said of it last."""


class _Answers:
    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    async def all(
        self, _caller: Caller, request: pb.ListInfusionsRequest
    ) -> pb.ListInfusionsResponse:
        now_us = self._looks.clock.now_us()
        return pb.ListInfusionsResponse(infusions=self._sorted(request.ward, now_us), now_us=now_us)

    async def one(self, _caller: Caller, request: pb.GetInfusionRequest) -> pb.GetInfusionResponse:
        found = self._looks.infusions.find(request.device_id)
        if found is None:
            raise UnknownError(f"{request.device_id} has told of no infusion")
        now_us = self._looks.clock.now_us()
        values = sorted(found.infusion.values.items())
        words = sorted(found.infusion.words.items())
        return pb.GetInfusionResponse(
            infusion=self._told(found, now_us),
            now_us=now_us,
            values=[
                pb.InfusionValue(
                    code=code,
                    refid=terms.metric(code).refid,
                    value=value,
                    unit=terms.metric(code).unit,
                )
                for code, value in values
            ],
            words=[
                pb.InfusionWord(code=code, refid=terms.metric(code).refid, word=word)
                for code, word in words
            ],
        )

    async def watch(
        self, _caller: Caller, request: pb.WatchInfusionsRequest
    ) -> AsyncIterator[pb.WatchInfusionsResponse]:
        seen, sent = -1, float("-inf")
        clock = self._looks.clock
        while True:
            changes, mono = self._looks.infusions.changes, clock.monotonic()
            if changes != seen or mono - sent >= REFRESH_S:
                seen, sent = changes, mono
                now_us = clock.now_us()
                yield pb.WatchInfusionsResponse(
                    infusions=self._sorted(request.ward, now_us), now_us=now_us
                )
            await asyncio.sleep(WATCH_S)

    def _sorted(self, ward: str, now_us: int) -> list[pb.Infusion]:
        found = [
            each
            for each in self._looks.infusions.all()
            if not ward or each.infusion.ward.casefold() == ward.casefold()
        ]
        found.sort(
            key=lambda each: (each.infusion.ward, each.infusion.bed, each.infusion.device_id)
        )
        return [self._told(each, now_us) for each in found]

    def _told(self, standing: Standing, now_us: int) -> pb.Infusion:
        infusion, looks = standing.infusion, self._looks
        held = sorted(
            looks.alarms_of(infusion.device_id),
            key=lambda each: (-each.cause.priority, each.onset_us),
        )
        silent = any(is_silence(each.cause.condition) for each in held)
        away = infusion.away or looks.state_of(infusion.device_id) is DeviceState.OFFLINE
        made = pb.Infusion(
            device_id=infusion.device_id,
            kind=infusion.kind,
            driver=infusion.driver,
            ward=infusion.ward,
            bed=infusion.bed,
            drug=infusion.drug,
            state=infusion.state.value,
            offline=silent or away,
            heard_us=infusion.heard_us,
            event=infusion.event,
            event_us=infusion.event_us,
            alarms=[
                pb.InfusionAlarm(
                    condition=each.cause.condition,
                    priority=each.cause.priority.name.lower(),
                    text=each.cause.text,
                    onset_us=each.onset_us,
                    source=each.cause.source.name.lower(),
                )
                for each in held
            ],
        )
        for field, code in FIELDS.items():
            value = infusion.values.get(code)
            if value is not None:
                setattr(made, field, value)
        told = infusion.forecast(now_us)
        if told is not None:
            made.minutes_left = told.left_s / 60
            made.minutes_left_early = told.early_s / 60
            made.minutes_left_late = told.late_s / 60
        if standing.order is not None:
            made.order.CopyFrom(_order(standing))
        return made


FIELDS: Final = {
    "rate_ml_h": terms.FLOW_RATE,
    "programmed_ml_h": terms.PROGRAMMED_RATE,
    "volume_ml": terms.VOLUME_TO_BE_INFUSED,
    "infused_ml": terms.VOLUME_INFUSED,
    "remaining_ml": terms.VOLUME_REMAINING,
    "battery_percent": terms.BATTERY,
}


def _order(standing: Standing) -> pb.InfusionOrderContext:
    order = standing.order
    assert order is not None
    off = orders.Deviation()
    if orders.counts(order):
        off = orders.deviation(order, standing.infusion)
    return pb.InfusionOrderContext(
        order_id=order.order_id,
        action=order.action.name.lower(),
        ordered_us=order.ordered_us,
        drug=order.drug,
        volume_ml=order.volume_ml,
        rate_ml_h=order.rate_ml_h,
        dose=order.dose,
        dose_unit=order.dose_unit,
        route=order.route,
        told_by=order.provenance.attested_by,
        deviation_percent=off.rate_percent,
        other_drug=off.other_drug,
    )


def infusion_service(looks: Looks) -> Service:
    """The service."""
    answers = _Answers(looks)
    return Service(
        "wardgate.v1.InfusionService",
        (
            Unary("ListInfusions", pb.ListInfusionsRequest, answers.all, ANY),
            Unary("GetInfusion", pb.GetInfusionRequest, answers.one, ANY),
            Streaming("WatchInfusions", pb.WatchInfusionsRequest, answers.watch, ANY),
        ),
    )
