"""The monitor: devices behind gateways, gateways that fall silent, and what is kept."""

import pytest

from fleet.health import Health, HealthConfig
from fleet.metrics import METRICS
from fleet.monitor import Monitor, facts_message, facts_of
from fleet.store import DeviceRow
from gateway.domain.devices import Standing
from gateway.telemetry import Telemetry
from protos.wardgate.v1 import fleet_pb2 as pb
from tests.fakes import FakeClock


class Registered:
    """What the monitor needs of the registry."""

    def __init__(self, *device_ids):
        self.devices = {
            each: DeviceRow(each, "", "", "", "", Standing.ACTIVE, "", 0) for each in device_ids
        }
        self.revoked_devices: frozenset[str] = frozenset()


class Scene:
    def __init__(self, *device_ids):
        self.clock = FakeClock()
        self.telemetry = Telemetry(METRICS, prefix="wardgate_fleet")
        self.registry = Registered(*device_ids)
        self.monitor = Monitor(self.registry, HealthConfig(), self.clock, self.telemetry)

    def report(self, gateway, *heard, ago_s=0.0, **more):
        """A gateway's report after two seconds; returns devices never heard of before."""
        self.clock.advance(2)
        now = self.clock.now_us()
        seen = now - round(ago_s * 1e6)
        devices = [pb.DeviceFacts(device_id=each, last_seen_us=seen, **more) for each in heard]
        return self.monitor.report(gateway, pb.HealthReport(sent_us=now, devices=devices))

    def health(self, device_id):
        return self.monitor.health(device_id).health

    def gauge(self, name, **labels):
        return self.telemetry.registry.get_sample_value(f"wardgate_fleet_{name}", labels)


@pytest.fixture
def scene():
    made = Scene("one", "two")
    made.monitor.attached("edge", "0.1")
    return made


def test_devices_are_judged_by_their_gateways_clock_alone(scene):
    scene.report("edge", "one")
    assert scene.health("one") is Health.HEALTHY
    assert scene.health("two") is Health.UNKNOWN
    scene.monitor.report(
        "edge",
        pb.HealthReport(  # a gateway whose clock is years behind
            sent_us=10**15, devices=[pb.DeviceFacts(device_id="two", last_seen_us=10**15 - 5)]
        ),
    )
    assert scene.health("two") is Health.HEALTHY


def test_a_device_that_a_report_leaves_out_is_silent_in_time(scene):
    scene.report("edge", "one")
    for _ in range(15):
        scene.report("edge")
        assert scene.health("one") is Health.HEALTHY
    scene.report("edge")
    assert scene.health("one") is Health.SILENT


def test_behind_a_dead_gateway_everything_is_unknown(scene):
    scene.monitor.attached("other", "0.1")
    scene.report("edge", "one")
    scene.report("other", "two")
    scene.clock.advance(9)
    scene.report("other", "two")
    scene.monitor.tick()
    assert (scene.health("one"), scene.health("two")) == (Health.UNKNOWN, Health.HEALTHY)
    assert scene.gauge("devices", health="unknown") == 1
    assert scene.gauge("gateways", attached="yes") == 2
    scene.monitor.detached("edge")
    scene.monitor.tick()
    assert scene.gauge("gateways", attached="no") == 1
    scene.monitor.attached("edge", "0.1")
    scene.report("edge", "one")
    assert scene.health("one") is Health.HEALTHY


def test_a_device_is_behind_the_gateway_that_saw_it_last(scene):
    scene.monitor.attached("other", "0.1")
    scene.report("edge", "one")
    scene.report("other", "one", ago_s=100)
    assert scene.monitor.health("one").gateway == "edge"
    assert scene.health("one") is Health.HEALTHY
    scene.report("other", "one")
    assert scene.monitor.health("one").gateway == "other"
    scene.report("edge", "one", ago_s=30)
    assert scene.monitor.health("one").gateway == "other"
    assert [len(each.devices) for each in scene.monitor.gateways.values()] == [0, 1]


def test_who_is_not_registered_is_counted_and_dropped(scene):
    scene.report("edge", "one", "stranger")
    assert scene.gauge("unregistered_total") == 1
    assert scene.monitor.unsaved()[1][0].device_id == "one"
    assert len(scene.monitor.gateways["edge"].devices) == 1


def test_a_device_is_fresh_until_it_is_active(scene):
    scene.registry.devices["two"] = scene.registry.devices["two"]._replace(
        standing=Standing.ENROLLED
    )
    assert scene.report("edge", "one", "two") == ["two"]


def test_the_retired_are_not_counted(scene):
    scene.registry.devices["two"] = scene.registry.devices["two"]._replace(
        standing=Standing.RETIRED
    )
    assert sum(scene.monitor.counts().values()) == 1


def test_the_revoked_are_not_counted(scene):
    scene.registry.revoked_devices = frozenset({"two"})
    assert sum(scene.monitor.counts().values()) == 1


def test_what_was_last_known_survives(scene):
    facts = {"battery_percent": 40.0, "firmware": "1", "errors": {"malformed": 2}}
    scene.report("edge", "one", **facts)
    gateways, rows = scene.monitor.unsaved()
    assert scene.monitor.unsaved()[1] == []
    again = Scene("one", "two")
    again.monitor.restore(gateways, rows)
    health = again.monitor.health("one")
    assert (health.health, health.gateway) == (Health.HEALTHY, "edge")
    assert (health.facts.battery_percent, health.facts.errors) == (40.0, {"malformed": 2})
    again.clock.advance(11)
    again.monitor.tick()
    assert again.health("one") is Health.UNKNOWN


def test_the_greatest_audit_checkpoint_is_kept(scene):
    for number in (5, 3, 9):
        audit = pb.AuditCheckpoint(number=number, chain=b"%d" % number, signature=b"s")
        scene.monitor.report("edge", pb.HealthReport(gateway=pb.GatewayFacts(audit=audit)))
    assert scene.monitor.gateways["edge"].row.audit_number == 9
    audit = pb.AuditCheckpoint(number=4, chain=b"rewritten")
    scene.monitor.report("edge", pb.HealthReport(gateway=pb.GatewayFacts(audit=audit)))
    assert scene.monitor.gateways["edge"].row.audit_chain == b"9"


def test_a_head_is_kept_whole_and_another_log_is_told(scene):
    told = []
    scene.monitor.on_other_log = lambda *words: told.append(words)

    def report(number, log):
        audit = pb.AuditCheckpoint(number=number, log=log, root=b"r", public_key=b"k")
        scene.monitor.report("edge", pb.HealthReport(gateway=pb.GatewayFacts(audit=audit)))
        row = scene.monitor.gateways["edge"].row
        kept = pb.AuditCheckpoint.FromString(row.audit_head)
        assert kept.number == row.audit_number
        return kept.number, kept.log

    assert report(5, "first") == (5, "first")
    assert report(3, "first") == (5, "first")
    assert report(2, "second") == (2, "second")
    assert told == [("edge", "first", 5, "second")]


def test_facts_come_and_go_unchanged():
    full = pb.DeviceFacts(
        device_id="one",
        driver="mqtt",
        last_seen_us=5,
        connected=True,
        messages=7,
        marked_values=1,
        errors={"malformed": 2},
        clock_offset_us=0,
        battery_percent=0,
        firmware="1",
        certificate_end_us=9,
    )
    for message in (full, pb.DeviceFacts(device_id="one")):
        assert facts_message("one", facts_of(message)) == message
