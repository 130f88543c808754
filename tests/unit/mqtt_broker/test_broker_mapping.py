from __future__ import annotations

import pytest

from drivers.mqtt_broker.mapping import FILTERS, read_topic
from gateway.domain.errors import MalformedError


def test_a_topic_names_the_device_and_the_kind() -> None:
    assert read_topic("devices/monitor-1/vitals") == ("monitor-1", "vitals")
    assert FILTERS == ("devices/+/vitals", "devices/+/drip", "devices/+/status")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "devices",
        "devices/monitor-1",
        "devices//vitals",
        "devices/monitor-1/command",
        "devices/monitor-1/command/result",
        "devices/monitor-1/vitals/",
        "/devices/monitor-1/vitals",
        "things/monitor-1/vitals",
        f"devices/{'x' * 65}/vitals",
    ],
)
def test_other_topics_are_nobodys(topic: str) -> None:
    with pytest.raises(MalformedError):
        read_topic(topic)
