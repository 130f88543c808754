"""Messages through the real intake and journal: stored once, whatever is repeated, and when."""

import pytest

from gateway.domain.labels import Lane
from gateway.domain.ports import Outcome
from gateway.domain.records import Alarm, AlarmPhase, AlarmPriority, DeviceStatus, Report
from tests.unit.hl7.messages import MDS, OBR, interpret, message, obx
from tests.unit.pipeline.test_memory import start

__all__ = ["start"]

OBSERVATIONS = message(MDS, obx(), obx(what="150456^SPO2^MDC", value="98", unit="%"), OBR, obx())


def alert(phase="start", **more):
    return message(
        "OBX|1|CWE|196616^MDC_EVT_ALARM^MDC|1.0.0.0.1|196940^MDC_EVT_FLUID_LINE_OCCL^MDC|||PH~ST"
        "|||F|||||||mon-1",
        obx("68481^MDC_ATTR_EVENT_PHASE^MDC", phase, "", "ST", "1.0.0.0.3"),
        event="ORU^R40^ORU_R40",
        **more,
    )


ALARM = alert()
STATUS = message(MDS, obx("67996^MDC_ATTR_VAL_BATT_CHARGE^MDC", "81", "%"), profile="IHE_PCD_015")


def stored(gateway):
    return gateway.stored(Lane.ALARMS) + gateway.stored(Lane.TELEMETRY)


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (OBSERVATIONS, [Report, Report]),
        (ALARM, [Alarm, Report]),
        (STATUS, [DeviceStatus, Report]),
    ],
)
async def test_a_message_is_stored_once_over_a_restart(start, content, kinds):
    async with start() as gateway:
        for _ in "12":
            done = interpret(content)
            assert await gateway.send(*done.records) is Outcome.COMMITTED
    async with start() as gateway:
        done = interpret(content)
        assert await gateway.send(*done.records) is Outcome.COMMITTED
        assert sorted((type(each) for each in stored(gateway)), key=str) == sorted(kinds, key=str)


async def test_an_alarm_is_one_story_over_a_restart_and_counts_while_it_stands(start):
    async with start() as gateway:
        await gateway.send(*interpret(alert(control_id="a-1")).records)
        assert gateway.intake.alarms.active[AlarmPriority.HIGH] == 1
    async with start() as gateway:
        assert gateway.intake.alarms.active[AlarmPriority.HIGH] == 1
        await gateway.send(*interpret(alert("update", control_id="a-2")).records)
        await gateway.send(*interpret(alert("end", control_id="a-3")).records)
        assert gateway.intake.alarms.active[AlarmPriority.HIGH] == 0
        await gateway.send(*interpret(alert("end", control_id="a-4")).records)
        alarms = gateway.stored(Lane.ALARMS)
        assert [each.phase for each in alarms] == [AlarmPhase.START, AlarmPhase.END]
        assert len({each.alarm_id for each in alarms}) == 1
        assert {each.condition for each in alarms} == {"hl7_fluid_line_occl"}


async def test_a_retired_device_s_alarm_ends(start):
    async with start() as gateway:
        await gateway.send(*interpret(alert(control_id="a-1")).records)
        gateway.intake.retire("mon-1")
        await gateway.send(*interpret(OBSERVATIONS).records)
        phases = [each.phase for each in gateway.stored(Lane.ALARMS)]
        assert phases == [AlarmPhase.START, AlarmPhase.END]
