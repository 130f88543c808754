"""Messages through the real intake and journal: stored once, whatever is repeated, and when."""

import pytest

from drivers.hl7.alarms import Standing
from gateway.domain.labels import Lane
from gateway.domain.ports import Outcome
from gateway.domain.records import Alarm, DeviceStatus, Report
from tests.unit.hl7.messages import MDS, OBR, interpret, message, obx
from tests.unit.pipeline.test_memory import start

__all__ = ["start"]

OBSERVATIONS = message(MDS, obx(), obx(what="150456^SPO2^MDC", value="98", unit="%"), OBR, obx())
ALARM = message(
    "OBX|1|CWE|196616^MDC_EVT_ALARM^MDC|1.0.0.0.1|196940^MDC_EVT_FLUID_LINE_OCCL^MDC|||PH~ST|||F"
    "|||||||mon-1",
    obx("68481^MDC_ATTR_EVENT_PHASE^MDC", "start", "", "ST", "1.0.0.0.3"),
    event="ORU^R40^ORU_R40",
)
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
            done = interpret(content, standing=Standing(gateway.journal.state))
            assert await gateway.send(*done.records) is Outcome.COMMITTED
    async with start() as gateway:
        done = interpret(content, standing=Standing(gateway.journal.state))
        assert await gateway.send(*done.records) is Outcome.COMMITTED
        assert sorted((type(each) for each in stored(gateway)), key=str) == sorted(kinds, key=str)
