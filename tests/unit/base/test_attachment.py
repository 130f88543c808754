"""A device on a bound link, whatever its protocol: faults, waits, refusals, ends."""

import asyncio
import time

import pytest
import uvloop

from drivers.base import attachment
from drivers.base.attachment import Attachment, Binding
from drivers.base.dialogue import Dialogue, HangUp, Malformed, Missed, Offline, Online, Said
from drivers.base.silence import Silence
from gateway.domain.devices import Device, HostCredential, PortCredential
from gateway.domain.ports import Outcome, Ports
from gateway.domain.records import Attestation, DeviceStatus, Gap, Provenance, Report
from tests.fakes import (
    FakeAdmission,
    FakeAside,
    FakeClock,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
)

BINDING = Binding(
    "d1", "pump", PortCredential("d1", "/dev/x"), Provenance("toy", Attestation.PORT, "/dev/x")
)


class Toy(Dialogue):
    """Does what it is told: each byte is an event."""

    made = 0

    def __init__(self, device):
        super().__init__()
        type(self).made += 1
        self.device = device
        self.due = None
        self.ticks = 0
        self.excused = 0
        self.gone = True
        self.last_words = []

    def receive(self, data, now):
        for byte in data.decode():
            match byte:
                case "+":
                    yield Online()
                case "-":
                    yield Offline("silent")
                case "r":
                    yield Said((Report("d1", "toy", BINDING.provenance, now.wall_us),))
                case "m":
                    yield Malformed("syntax", b"m")
                case "l":
                    yield Missed("unknown", 3)
                case "w":
                    self.output.append(b"hello")
                case "h":
                    yield HangUp("unreadable")
                case "!":
                    raise ZeroDivisionError

    def deadline(self):
        return self.due

    def tick(self, now):
        del now
        self.ticks += 1
        return ()

    def link_down(self, now):
        return [Said(tuple(self.last_words))] if self.last_words else []

    def excuse(self, now):
        del now
        self.excused += 1

    @property
    def left(self):
        return self.gone


class Link:
    """A link that only remembers."""

    def __init__(self, listener):
        self.listener = listener
        self.calls = []

    def write(self, data):
        self.calls.append(data)
        return True

    def reset(self, reason):
        self.calls.append(f"reset {reason}")
        self.listener.link_lost(reason)

    async def stop(self, grace_s):
        del grace_s
        self.calls.append("stop")

    def __getattr__(self, name):
        return lambda: self.calls.append(name)


class Bed:
    def __init__(self, known=True, state=None):
        self.sink = FakeSink(Outcome.COMMITTED)
        self.clock = FakeClock()
        self.counters = FakeCounters()
        self.aside = FakeAside()
        self.admission = FakeAdmission({"d1": Device("d1")} if known else {})
        self.dialogues: list[Toy] = []
        ports = Ports(
            self.admission,
            self.sink,
            self.counters,
            self.clock,
            self.aside,
            FakeState(state),
            FakeCommands(),
            lambda: None,
            lambda: None,
            lambda: None,
        )

        def make(device):
            self.dialogues.append(Toy(device))
            return self.dialogues[-1]

        def link(listener):
            self.link = Link(listener)
            return self.link

        self.attachment = Attachment(BINDING, link, make, ports, lambda: None)

    def up(self, said=b""):
        self.attachment.link_up()
        if said:
            self.attachment.data_received(said)
        return self

    def of(self, kind):
        return [record for record in self.sink.records if isinstance(record, kind)]

    def statuses(self):
        return [(status.state.name, status.reason) for status in self.of(DeviceStatus)]


async def until(condition):
    while not condition():  # noqa: ASYNC110 - timers of the attachment's own tell nobody
        await asyncio.sleep(0.001)


async def test_everything_that_came_at_once_is_one_submission():
    bed = Bed().up(b"+rrmlw")
    (submission,) = bed.sink.submissions
    assert [type(each) for each in submission.records] == [DeviceStatus, Report, Report]
    assert bed.of(DeviceStatus)[0].kind == "pump"  # the registry doesn't know better
    assert bed.counters.counts["malformed", "toy", "syntax"] == 1
    assert bed.counters.counts["malformed", "toy", "unknown"] == 3
    assert bed.aside.kept == [("d1", "toy", "syntax", b"m")]
    assert bed.link.calls == [b"hello"]
    (delta,) = submission.deltas
    assert int.from_bytes(delta.value, "big") == bed.clock.now_us()


async def test_a_fault_of_the_driver_costs_its_link_and_nothing_that_came_before_it(caplog):
    bed = Bed().up(b"+r!r")
    assert bed.link.calls == ["reset fault"]
    assert "a fault of driver toy" in caplog.text
    assert bed.counters.counts["malformed", "toy", "fault"] == 1
    assert len(bed.of(Report)) == 1
    assert bed.statuses() == [("ONLINE", "connected"), ("OFFLINE", "fault")]
    assert not bed.admission.live
    bed.clock.advance(5)
    bed.up(b"+r")
    assert len(bed.dialogues) == 2
    (gap,) = bed.of(Gap)
    assert (gap.reason, gap.to_us - gap.from_us) == ("fault", 5_000_000)


async def test_a_status_is_said_once_and_the_link_says_why_it_ended():
    bed = Bed().up(b"++r")
    bed.attachment.link_lost("hung_up")
    bed.up(b"-+-")
    assert bed.statuses() == [
        ("ONLINE", "connected"),
        ("OFFLINE", "hung_up"),
        ("ONLINE", "connected"),
        ("OFFLINE", "silent"),
    ]


async def test_a_device_with_one_place_is_left_alone_while_it_is_not_admitted(monkeypatch):
    bed = Bed(known=False)
    monkeypatch.setattr(bed.attachment, "_binding", BINDING._replace(exclusive=True))
    bed.up(b"+rw")
    assert bed.link.calls == ["reset not_admitted"]
    assert not bed.sink.records
    bed.admission.devices["d1"] = Device("d1")
    bed.up(b"+r")
    assert len(bed.of(Report)) == 1


async def test_a_dialogue_can_hang_up():
    bed = Bed().up(b"+rhw")
    assert bed.link.calls == ["reset unreadable"]
    assert bed.statuses() == [("ONLINE", "connected"), ("OFFLINE", "unreadable")]
    assert len(bed.of(Report)) == 1


async def test_what_a_dialogue_says_of_a_loss_is_not_the_devices_word():
    """The Gap begins when the device was heard, not when somebody noticed that it was gone."""
    bed = Bed().up(b"+r")
    heard_us = bed.clock.now_us()
    bed.dialogues[0].last_words = [Report("d1", "lost", BINDING.provenance, 1)]
    bed.clock.advance(60)
    bed.attachment.link_lost("silent")
    assert [each.kind for each in bed.of(Report)] == ["toy", "lost"]
    assert int.from_bytes(bed.sink.submissions[-1].deltas[0].value, "big") == heard_us
    bed.up(b"+r")
    (gap,) = bed.of(Gap)
    assert (gap.from_us, gap.to_us) == (heard_us, heard_us + 60_000_000)


async def test_what_the_other_end_has_shown_is_asked_for_each_time(monkeypatch):
    shown: list[bytes] = []

    def credential():
        shown.append(f"certificate {len(shown)}".encode())
        return HostCredential("d1", shown[-1], "toy", "10.0.0.7:1")

    bed = Bed()
    monkeypatch.setattr(bed.attachment, "_binding", BINDING._replace(credential=credential))
    bed.up(b"+r")
    bed.attachment.link_lost("hung_up")
    bed.up(b"+r")
    assert len(shown) == 2
    assert len(bed.of(Report)) == 2


async def test_nobody_is_spoken_to_who_is_not_admitted(monkeypatch):
    monkeypatch.setattr(attachment, "ADMISSION_RETRY_S", 0.001)
    bed = Bed(known=False).up(b"+rw")
    assert not bed.sink.records
    assert not bed.link.calls
    bed.admission.devices["d1"] = Device("d1")
    await until(lambda: bed.dialogues)
    assert bed.dialogues[0].device == Device("d1")
    await bed.attachment.stop(1.0)


async def test_what_was_refused_becomes_one_gap_when_something_is_taken_again():
    bed = Bed().up(b"+")
    for outcome in (Outcome.FULL, Outcome.FAILED):
        bed.sink.automatic = outcome
        bed.clock.advance(1)
        bed.attachment.data_received(b"rr")
    begun = bed.clock.now_us() - 1_000_000
    bed.sink.automatic = Outcome.COMMITTED
    bed.clock.advance(1)
    bed.attachment.data_received(b"r")
    (gap,) = bed.of(Gap)
    assert (gap.reason, gap.reports) == ("not_taken", 4)
    assert (gap.from_us, gap.to_us) == (begun, begun + 1_000_000)


async def test_the_gateways_own_absence_is_a_gap():
    heard_us = FakeClock().now_us() - 60_000_000
    bed = Bed(state={"toy.heard": {"d1": heard_us.to_bytes(8, "big")}}).up(b"+r")
    (gap,) = bed.of(Gap)
    assert (gap.reason, gap.from_us, gap.to_us) == (
        "gateway_stopped",
        heard_us,
        bed.clock.now_us(),
    )


async def test_it_is_held_back_once_and_its_silence_is_excused():
    bed = Bed().up(b"+")
    bed.sink.is_writable = False
    bed.attachment.data_received(b"r")
    bed.attachment.data_received(b"r")
    assert bed.link.calls == ["pause"]
    bed.dialogues[0].due = bed.clock.monotonic()
    bed.attachment.data_received(b"l")
    await until(lambda: bed.dialogues[0].excused)
    bed.dialogues[0].due = None
    bed.sink.become_writable()
    assert bed.link.calls == ["pause", "resume"]
    await bed.attachment.stop(1.0)


async def test_a_deadline_that_stays_in_the_past_leaves_the_loop_to_others():
    bed = Bed().up(b"+")
    bed.dialogues[0].due = bed.clock.monotonic() - 100
    bed.attachment.data_received(b"r")
    turns = 0
    while bed.dialogues[0].ticks < 3:
        turns += 1
        await asyncio.sleep(0)
    assert turns > 3 * bed.dialogues[0].ticks
    await bed.attachment.stop(1.0)


@pytest.mark.parametrize("runner", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("spoke", [True, False])
def test_a_device_is_not_silent_because_the_gateway_stood_still(runner, spoke):
    async def stands_still():
        bed = Bed().up(b"+")
        (device,) = bed.dialogues
        device.due = bed.clock.monotonic() + 0.01
        bed.attachment.data_received(b"r")
        asyncio.get_running_loop().call_soon(time.sleep, 2 * attachment.LATE_S)
        await asyncio.sleep(0.02)  # due behind the deadline: whoever wakes here, that has passed
        assert device.ticks == 0
        if spoke:
            device.due = None
            bed.attachment.data_received(b"r")
            await asyncio.sleep(2 * attachment.LISTEN_S)
        else:
            await until(lambda: device.ticks)
        assert device.ticks == (0 if spoke else 1)
        device.due = None
        await bed.attachment.stop(1.0)

    with asyncio.Runner(loop_factory=runner) as loop:
        loop.run(stands_still())


async def test_a_gateway_that_is_always_late_still_finds_who_is_silent(monkeypatch):
    monkeypatch.setattr(attachment, "LATE_S", -1.0)
    bed = Bed().up(b"+")
    (device,) = bed.dialogues
    device.due = bed.clock.monotonic()
    bed.attachment.data_received(b"r")
    await until(lambda: device.ticks >= 3)
    device.due = None
    await bed.attachment.stop(1.0)


@pytest.mark.parametrize("answers", [True, False])
async def test_stopping_waits_for_an_answer_within_its_grace_and_tells_the_end(answers):
    bed = Bed().up(b"+r")
    toy = bed.dialogues[0]
    toy.gone = False
    stopping = asyncio.create_task(bed.attachment.stop(0.05 if not answers else 30.0))
    await asyncio.sleep(0)
    if answers:
        toy.gone = True
        bed.attachment.data_received(b"l")
    await stopping
    await bed.attachment.stop(0.0)
    assert bed.link.calls[0] == "stop"
    assert bed.statuses()[-1] == ("OFFLINE", "stopped")
    assert len(bed.statuses()) == 2
    assert not bed.admission.live


async def test_revocation_drops_the_link():
    bed = Bed().up(b"+r")
    bed.attachment.kill("revoked")
    assert bed.link.calls == ["reset revoked"]
    assert bed.statuses()[-1] == ("OFFLINE", "revoked")


def test_silence_tells_once():
    silence = Silence(5.0)
    assert silence.deadline() is None
    assert list(silence.tick(100.0)) == []
    assert list(silence.heard(100.0)) == [Online()]
    assert list(silence.heard(103.0)) == []
    assert silence.deadline() == 108.0
    assert list(silence.tick(107.9)) == []
    silence.excuse(107.9)
    assert list(silence.tick(112.0)) == []
    assert list(silence.tick(112.9)) == [Offline("silent")]
    assert silence.deadline() is None
    silence.excuse(200.0)
    assert silence.deadline() is None
    assert list(silence.heard(201.0)) == [Online()]
