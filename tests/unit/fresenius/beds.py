"""Pumps on a line, the line's bus and their dialogues, and the time; without a line."""

import random
from typing import Any

from drivers.base.dialogue import Moment, Said
from drivers.fresenius.bus import PumpBus
from drivers.fresenius.config import PumpPort
from drivers.fresenius.dialogue import dialogues
from firmware_sim.fresenius.pumps import Pump, PumpLine
from gateway.domain.devices import Device
from gateway.domain.records import Attestation, Provenance
from tests.fakes import FakeClock

STEP_S = 0.125


class Bed:
    """What happens on a line; its stations are None or modules."""

    def __init__(self, *stations, **options):
        self.clock = FakeClock()
        self.pumps = {station: Pump() for station in stations}
        self.line = PumpLine(self.pumps)
        self.bus = PumpBus()
        provenance = Provenance("fresenius", Attestation.PORT, "/dev/x")
        self.dialogues = {}
        for station in stations:
            bound = PumpPort(device_id=f"p{station}", port="/dev/x", module=station, **options)
            make = dialogues(bound, provenance, random.Random(1))
            self.dialogues[station] = make(Device(f"p{station}"))
        self.events: dict[int | None, list[Any]] = {station: [] for station in stations}
        self.sent = []

    def now(self):
        return Moment(self.clock.monotonic(), self.clock.now_us())

    def begin(self):
        self.bus.opened()
        self.line.switch_on()
        for station, dialogue in self.dialogues.items():
            self.take(station, dialogue.begin(self.now()))

    def take(self, station, events):
        self.events[station] += events
        dialogue = self.dialogues[station]
        said, dialogue.output[:] = list(dialogue.output), []
        for data in said:
            assert self.bus.send(station, data, self.clock.monotonic())
        self.say()

    def say(self):
        said, self.bus.output[:] = list(self.bus.output), []
        self.sent += said
        for data in said:
            for answer in self.line.receive(data):
                self.hear(answer)

    def hear(self, data):
        for station, said in list(self.bus.receive(data, self.clock.monotonic())):
            self.take(station, self.dialogues[station].receive(said, self.now()))
        self.say()

    def tick(self):
        now_s = self.clock.monotonic()
        due = self.bus.deadline()
        if due is not None and due <= now_s:
            self.bus.tick(now_s)
            self.say()
        for station, dialogue in self.dialogues.items():
            due = dialogue.deadline()
            if due is not None and due <= now_s:
                self.take(station, dialogue.tick(self.now()))

    def run(self, seconds):
        for _ in range(round(seconds / STEP_S)):
            self.clock.advance(STEP_S)
            for said in self.line.tick(self.clock.monotonic()):
                self.hear(said)
            self.tick()

    def of(self, station, kind):
        return [event for event in self.events[station] if isinstance(event, kind)]

    def records(self, station, kind):
        said = self.of(station, Said)
        return [r for each in said for r in each.records if isinstance(r, kind)]

    def heads(self, station):
        """What a station was asked, in order."""
        return [frame.head for frame in self.line.heard if frame.address == station]
