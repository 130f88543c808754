"""Several devices on one line: ups and downs, pauses, resets, ends, and whose bytes are whose."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import shared
from drivers.base.shared import SharedLine
from tests.fakes import FakeClock


class ToyBus:
    """Stations are letters, and a frame is a letter and a digit; one is answered at a time."""

    def __init__(self):
        self.output = []
        self.calls = []
        self.due = None

    def opened(self):
        self.calls.append("opened")

    def send(self, station, data, now_s):
        if data == b"bad":
            return False
        self.output.append(station.encode() + data)
        self.due = now_s + 1.0
        return True

    def forget(self, station, now_s):
        self.calls.append(f"forget {station}")

    def receive(self, data, now_s):
        for at in range(0, len(data), 2):
            yield chr(data[at]), data[at : at + 2]

    def deadline(self):
        return self.due

    def tick(self, now_s):
        self.calls.append("tick")
        self.due = None


class Line:
    """The real link; it only remembers."""

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
        self.calls.append("stop")

    def __getattr__(self, name):
        return lambda: self.calls.append(name)


class Device:
    """A member's listener."""

    def __init__(self):
        self.heard = []
        self.up = asyncio.Event()

    def link_up(self):
        self.heard.append("up")
        self.up.set()

    def data_received(self, data):
        self.heard.append(data)

    def link_lost(self, reason):
        self.heard.append(f"lost {reason}")


class Bed:
    def __init__(self, *stations):
        self.bus, self.clock = ToyBus(), FakeClock()
        self.ended: list[int] = []
        self.shared = SharedLine(
            self.make, self.bus, self.clock.monotonic, lambda: self.ended.append(1)
        )
        self.devices = {station: Device() for station in stations}
        self.members = {
            station: self.shared.member(station, device) for station, device in self.devices.items()
        }
        for member in self.members.values():
            member.start()

    def make(self, listener):
        self.line = Line(listener)
        return self.line

    def heard(self, station):
        heard, self.devices[station].heard = self.devices[station].heard, []
        return heard


@pytest.fixture
async def bed():
    bed = Bed("a", "b")
    bed.line.listener.link_up()
    assert bed.line.calls == ["start"]
    assert bed.heard("a") == bed.heard("b") == ["up"]
    bed.line.calls.clear()
    yield bed
    bed.shared._cancel_timer()
    for member in bed.members.values():
        member._cancel_rest()


async def test_what_came_at_once_is_given_at_once_to_whom_it_belongs(bed):
    bed.line.listener.data_received(b"a1b1a2x9")
    assert bed.heard("a") == [b"a1a2"]
    assert bed.heard("b") == [b"b1"]


async def test_what_is_sent_goes_through_the_bus(bed):
    assert bed.members["a"].write(b"?")
    assert not bed.members["b"].write(b"bad")
    assert bed.line.calls == [b"a?"]


async def test_a_line_that_is_lost_is_lost_for_all(bed):
    bed.line.listener.link_lost("hung_up")
    assert bed.heard("a") == bed.heard("b") == ["lost hung_up"]
    assert not bed.members["a"].write(b"?")
    bed.line.listener.link_up()
    assert bed.heard("a") == bed.heard("b") == ["up"]
    assert bed.bus.calls == ["opened", "opened"]


async def test_a_device_that_is_reset_loses_its_own_link(bed, monkeypatch):
    bed.members["a"].reset("revoked")
    assert bed.heard("a") == ["lost revoked"]
    assert bed.bus.calls[-1] == "forget a"
    bed.line.listener.data_received(b"a1b1")
    assert bed.heard("a") == []
    assert bed.heard("b") == [b"b1"]
    assert not bed.members["a"].write(b"?")
    assert "reset revoked" not in bed.line.calls
    bed.members["a"].rise()  # its rest is over
    assert bed.heard("a") == ["up"]


async def test_it_is_up_again_after_a_rest(bed, monkeypatch):
    monkeypatch.setattr(shared, "REST_S", 0.0)
    bed.devices["a"].up.clear()
    bed.members["a"].reset("fault")
    async with asyncio.timeout(30):
        await bed.devices["a"].up.wait()
    assert bed.heard("a") == ["lost fault", "up"]


async def test_a_line_that_is_lost_in_a_members_rest_rises_once(bed):
    bed.members["a"].reset("fault")
    bed.line.listener.link_lost("hung_up")
    assert bed.heard("a") == ["lost fault"]
    assert bed.members["a"]._rest is None
    bed.line.listener.link_up()
    assert bed.heard("a") == ["up"]


async def test_who_is_alone_resets_the_line():
    bed = Bed("a")
    bed.line.listener.link_up()
    bed.members["a"].reset("revoked")
    assert bed.line.calls[-1] == "reset revoked"
    assert bed.heard("a") == ["up", "lost revoked"]


async def test_the_line_is_paused_while_anybody_is(bed):
    bed.members["a"].pause()
    bed.members["b"].pause()
    bed.members["a"].resume()
    assert set(bed.line.calls) == {"pause"}
    bed.members["b"].resume()
    assert bed.line.calls[-1] == "resume"
    bed.members["b"].pause()
    await bed.members["b"].stop(1.0)  # who leaves holds nobody back
    assert bed.line.calls[-1] == "resume"


async def test_the_line_ends_with_the_last(bed):
    await bed.members["a"].stop(1.0)
    await bed.members["a"].stop(1.0)
    assert "stop" not in bed.line.calls
    assert not bed.ended
    bed.line.listener.data_received(b"a1b1")
    assert bed.heard("a") == []
    assert bed.heard("b") == [b"b1"]
    await bed.members["b"].stop(1.0)
    assert bed.line.calls[-1] == "stop"
    assert bed.ended == [1]
    assert bed.bus.calls[-2:] == ["forget a", "forget b"]


async def test_who_comes_later_is_told_that_the_line_is_up(bed):
    device = Device()
    member = bed.shared.member("c", device)
    bed.line.listener.data_received(b"c1")
    assert device.heard == []
    member.start()
    await asyncio.sleep(0)
    assert device.heard == ["up"]
    assert bed.line.calls == []


async def test_the_bus_gets_its_time(bed):
    bed.members["a"].write(b"?")
    bed.clock.advance(2.0)
    bed.members["a"].write(b"?")
    bed.clock.advance(2.0)
    bed.shared._on_time()
    assert bed.bus.calls[-1] == "tick"
    assert bed.shared._timer is None


@settings(max_examples=120)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(["up", "lost"]),
            st.tuples(st.sampled_from("abc"), st.sampled_from(["reset", "rise", "say", "hear"])),
        ),
        max_size=30,
    )
)
def test_every_device_is_told_of_ups_and_losses_in_turn_and_hears_only_while_it_is_up(steps):
    async def happen():
        bed = Bed("a", "b", "c")
        line, up = bed.line.listener, False
        for step in steps:
            match step:
                case "up" if not up:
                    up = True
                    line.link_up()
                case "lost" if up:
                    up = False
                    line.link_lost("hung_up")
                case (station, "reset") if up:
                    bed.members[station].reset("revoked")
                    up = bed.shared.up
                case (station, "rise"):
                    bed.members[station].rise()
                case (station, "say"):
                    live = bed.members[station].live
                    assert bed.members[station].write(b"?") is live
                case (station, "hear") if up:
                    line.data_received(station.encode() + b"1")
        for station, member in bed.members.items():
            heard = bed.devices[station].heard
            state = False
            for each in heard:
                if isinstance(each, bytes):
                    assert state
                else:
                    assert state is (each != "up")
                    state = each == "up"
            assert state is member.live
            assert not state or up
            await member.stop(0.1)
        assert bed.ended == [1]
        assert bed.shared._timer is None
        assert all(member._rest is None for member in bed.members.values())

    asyncio.run(happen())
