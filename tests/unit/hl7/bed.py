"""A receiver without a network: the real hub and its sessions, and a sender's side."""

from collections import deque
from collections.abc import Callable

from drivers.hl7.codec import Segment, read_header, segment, segments
from drivers.hl7.config import Hl7Config, Sender
from drivers.hl7.hub import Hub
from drivers.hl7.mllp import Frame, Framer, frame
from drivers.transport.tls import Peer
from gateway.domain.devices import Device
from gateway.domain.ports import Outcome, Ports
from gateway.domain.records import DeviceStatus, Report
from tests.fakes import (
    FakeAdmission,
    FakeAside,
    FakeClock,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
)

SENDERS = (
    Sender(
        device_id="gw-1",
        application="PUMPS^0012211839000001^EUI-64",
        facility="BBRAUN",
        devices={"P6013": "pump-1", "P6014": "pump-2", "P6015": "pump-retired"},
    ),
    Sender(
        device_id="orders-1",
        application="IOPVENDOR",
        orders={"A0001": "pump-1", "A0002": "pump-2"},
    ),
)


class Bed:
    """A hub with fakes around it; ``run`` takes the loop's turns."""

    def __init__(self, automatic=Outcome.COMMITTED, **config):
        self.sink = FakeSink(automatic)
        self.clock = FakeClock()
        self.counters = FakeCounters()
        self.aside = FakeAside()
        names = ("mon-1", "mon-2", "gw-1", "orders-1")
        self.admission = FakeAdmission(
            {name.encode(): Device(name, "monitor", "icu", "7") for name in names}
            | {name: Device(name, "pump") for name in ("pump-1", "pump-2")}
        )
        ports = Ports(
            self.admission,
            self.sink,
            self.counters,
            self.clock,
            self.aside,
            FakeState(),
            FakeCommands(),
            lambda: None,
            lambda: None,
            lambda: None,
        )
        self.turns: deque[Callable[[], None]] = deque()
        settings = {"listen": ("127.0.0.1:0",), "senders": SENDERS, **config}
        self.hub = Hub(ports, Hl7Config(**settings), self.turns.append)

    def plug(self, name="mon-1", peer="10.0.0.1:4000"):
        return SenderSide(self, name, peer)

    def run(self, turns=10_000):
        while self.turns and turns:
            self.turns.popleft()()
            turns -= 1

    def tick(self, seconds=1.0):
        self.clock.advance(seconds)
        self.hub.tick()
        self.run()

    def reports(self):
        return [each for each in self.sink.records if isinstance(each, Report)]

    def statuses(self):
        found = [each for each in self.sink.records if isinstance(each, DeviceStatus)]
        return [(each.device_id, each.state.name, each.reason) for each in found]

    def count(self, *key):
        return self.counters.counts[key]


class SenderSide:
    """A Wire, and what the sender at its other end does."""

    def __init__(self, bed, name, peer):
        self.bed = bed
        self.closed = self.aborted = False
        self.reading = True
        self._framer = Framer(1 << 20)
        self._answers = []
        self.session = bed.hub.connect(Peer(name.encode(), peer), self)

    # The session's side

    def send(self, data):
        assert not self.closed
        for found in self._framer.feed(data):
            assert isinstance(found, Frame)
            self._answers.append(found.content)

    def close(self):
        self.closed = True

    def abort(self, last_words=b""):
        assert not last_words
        self.closed = self.aborted = True

    def pause_reading(self):
        assert self.reading
        self.reading = False

    def resume_reading(self):
        assert not self.reading
        self.reading = True

    # The sender's side

    def says(self, *contents, run=True):
        self.raw(b"".join(map(frame, contents)), run=run)

    def raw(self, data, run=True):
        self.session.receive(data)
        if run:
            self.bed.run()

    def answers(self):
        """Segments of each answer since the last call."""
        taken, self._answers = self._answers, []
        return [_read(content) for content in taken]

    def codes(self):
        """MSA-1 and MSA-2 of each answer since the last call."""
        return [(a["MSA"].text(1), a["MSA"].text(2)) for a in self.answers()]

    def lose(self):
        self.closed = True
        self.session.lost()


def _read(content: bytes) -> dict[str, Segment]:
    header, _ = read_header(content)
    return {found.name: found for t in segments(content, header) for found in [segment(t, header)]}
