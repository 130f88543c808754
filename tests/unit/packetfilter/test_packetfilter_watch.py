"""From the counters' file to metrics, audit and alarms."""

from __future__ import annotations

import json
import os

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import load
from gateway.domain.records import Alarm, AlarmPhase
from gateway.notices import Notices
from gateway.packetfilter import snapshot
from gateway.packetfilter.snapshot import Snapshot, SnapshotError
from gateway.packetfilter.watch import QUIET_S, Around, Watch
from tests.fakes import FakeClock, FakeCounters, FakeSink
from tests.unit.packetfilter.site import write

START, END = AlarmPhase.START, AlarmPhase.END


class Audit:
    def __init__(self):
        self.entries = []

    def record(self, event, **fields):
        self.entries.append((event, fields))

    def refused(self, reason, transport, peer, device_id):
        raise AssertionError("nobody is refused here")


class Bench:
    """A watch over a file that the test writes as root's service does."""

    def __init__(self, folder, *, required=True):
        (folder / "state").mkdir(exist_ok=True)
        path = write(folder)
        if required:
            path.write_text(
                path.read_text().replace("[packet_filter]", "[packet_filter]\nrequired = true")
            )
        self.config = load(path)
        self.clock, self.counters, self.sink = FakeClock(), FakeCounters(), FakeSink()
        self.audit = Audit()
        self.start()

    def start(self):
        around = Around(
            self.counters, self.audit, Notices("gw-1", self.sink, self.clock), self.clock
        )
        self.watch = Watch(self.config, around)

    def tell(self, **counters):
        found = {
            name.replace("_", "-"): (packets, 60 * packets) for name, packets in counters.items()
        }
        told = Snapshot(snapshot.FORMAT, "gw-1", self.clock.now_us(), "r", "p", "", found)
        snapshot.write(self.config.packet_filter.file(""), told)
        self.watch.look()

    def wait(self, seconds, **counters):
        for _ in range(int(seconds)):
            self.clock.advance(1)
            if counters:
                self.tell(**counters)
            else:
                self.watch.look()

    @property
    def alarms(self):
        return [
            (each.condition, each.phase) for each in self.sink.records if isinstance(each, Alarm)
        ]

    @property
    def events(self):
        return [event for event, _ in self.audit.entries]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_packets_become_metrics_of_known_rules_only(bench):
    bench.tell(to_core=5, driver_mqtt_0=1, driver_x_1=2, closed_vendor_x=1, to_stranger=9)
    bench.tell(to_core=7, driver_mqtt_0=1, driver_x_1=2, closed_vendor_x=1, to_stranger=9)
    counted = {
        key[1]: n for key, n in bench.counters.counts.items() if key[0] == "packetfilter_packets"
    }
    assert counted == {"to-core": 7, "drivers": 3, "closed-vendor-x": 1}
    assert bench.counters.gauges["packetfilter_missing",] == 0
    assert bench.alarms == []


def test_refused_packets_are_an_alarm_until_they_rest(bench):
    bench.tell(refused=0)
    bench.wait(3, refused=4)
    assert bench.alarms == [("unexpected_traffic", START)]
    assert bench.audit.entries == [("unexpected_traffic", {"result": "begins", "packets": 4})]
    bench.wait(QUIET_S - 5, refused=9)
    assert bench.alarms == [("unexpected_traffic", START)]
    bench.wait(QUIET_S + 5, refused=9)
    assert bench.alarms == [("unexpected_traffic", START), ("unexpected_traffic", END)]
    assert bench.audit.entries[-1] == ("unexpected_traffic", {"result": "ended", "packets": 9})


def test_a_restart_hides_nothing_and_repeats_nothing(bench):
    bench.tell(refused=4)
    bench.start()
    bench.tell(refused=4)
    assert bench.events == ["unexpected_traffic"]
    bench.start()
    bench.tell(refused=5)
    assert bench.events == ["unexpected_traffic"] * 2
    bench.start()
    bench.tell(refused=1)  # another boot: the counter began anew
    assert bench.audit.entries[-1][1]["packets"] == 1
    assert len(bench.events) == 3


def test_a_required_filter_that_says_nothing_is_an_alarm_once(bench):
    bench.wait(9)
    assert bench.alarms == []  # both start at boot
    bench.wait(9)
    assert bench.alarms == [("packetfilter_missing", START)]
    assert bench.counters.gauges["packetfilter_missing",] == 1
    bench.tell(refused=0)
    assert bench.alarms[-1] == ("packetfilter_missing", END)
    bench.wait(30)  # the file is there, and grows old
    assert bench.alarms[2:] == [("packetfilter_missing", START)]
    assert bench.events == ["packetfilter_missing", "packetfilter_back", "packetfilter_missing"]


def test_one_that_is_not_required_may_be_absent(tmp_path):
    bench = Bench(tmp_path, required=False)
    bench.wait(60)
    assert bench.alarms == []
    assert bench.counters.gauges["packetfilter_missing",] == 0


def test_a_file_from_the_future_counts_as_none(bench):
    bench.clock.advance(100)
    bench.tell(refused=0)
    bench.clock.advance(-60)
    bench.wait(12)
    assert bench.alarms == [("packetfilter_missing", START)]


# The file


def content(**change):
    whole = {
        "v": 1,
        "gateway": "gw-1",
        "at_us": 1,
        "ruleset": "",
        "policy": "",
        "fault": "",
        "counters": {"refused": [1, 2]},
    }
    return json.dumps({**whole, **change}).encode()


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[" * 100_000,
        content(gateway="gw-2"),
        content(v=2),
        content(more=1),
        content(counters={"refused": [-1, 2]}),
        content(counters={"refused": [1]}),
        content(policy="x" * 401),
        b" " * (snapshot.FILE_BYTES_MAX + 1),
    ],
)
def test_a_file_that_is_no_snapshot_is_refused(tmp_path, bad):
    path = tmp_path / "c.json"
    path.write_bytes(bad)
    with pytest.raises(SnapshotError):
        snapshot.read(path, "gw-1")


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "real").write_bytes(content())
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("fifo", "link", "absent", "."):
        with pytest.raises(SnapshotError):
            snapshot.read(tmp_path / name, "gw-1")
    assert snapshot.read(tmp_path / "real", "gw-1").counters == {"refused": (1, 2)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_a_snapshot_or_refused(tmp_path, raw):
    path = tmp_path / "c.json"
    path.write_bytes(raw)
    with pytest.raises(SnapshotError):
        snapshot.read(path, "gw-1")


def test_a_snapshot_is_read_as_it_was_written(tmp_path):
    told = Snapshot(1, "gw-1", 7, "r", "p", "f", {"refused": (1, 2)})
    snapshot.write(tmp_path / "run" / "c.json", told)
    assert snapshot.read(tmp_path / "run" / "c.json", "gw-1") == told
    assert (tmp_path / "run" / "c.json").stat().st_mode & 0o777 == 0o640
    assert msgspec.json.decode((tmp_path / "run" / "c.json").read_bytes())["v"] == 1
