"""A dialogue and a simulated reader that talk to each other, in memory and in one step."""

from __future__ import annotations

from typing import Any

from llrpkit.protocol import LLRPMessage

from contract.fakes import FakeClock
from drivers.base.dialogue import HangUp, Moment, Said
from drivers.llrp.dialogue import Past, ReaderDialogue
from drivers.llrp.mapping import Mapper
from drivers.llrp.settings import ReaderSettings
from firmware_sim.llrp.reader import Reader
from firmware_sim.llrp.says import Traits
from gateway.domain.records import Attestation, Provenance

PROVENANCE = Provenance("llrp", Attestation.ADDRESS, "tcp://10.0.0.7:5084")
A, B = "3000ABCDEF00000000000003", "3000ABCDEF00000000000004"


class Scene:
    """One reader; connections come and go."""

    def __init__(self, settings: ReaderSettings | None = None, **traits: Any) -> None:
        self.settings = settings or ReaderSettings(report_ms=200, keepalive_s=1.0)
        self.clock = FakeClock()
        self.reader = Reader(self.clock, Traits(**traits))
        self.past = Past()
        self.events: list[Any] = []
        self.dialogue: ReaderDialogue | None = None

    def now(self) -> Moment:
        return Moment(self.clock.monotonic(), self.clock.now_us())

    def connect(self) -> None:
        self._open()
        self.pump(self.reader.connect())

    def greet_with(self, message: LLRPMessage) -> None:
        """Another reader than ours, which begins with something else."""
        self._open()
        self.pump([message.to_bytes(0)])

    def _open(self) -> None:
        mapper = Mapper("reader-1", PROVENANCE)
        self.dialogue = ReaderDialogue(self.settings, mapper, self.past, 100)
        self.events += self.dialogue.begin(self.now())

    def pump(self, frames: Any = ()) -> None:
        """Let both speak until neither has anything to say."""
        assert self.dialogue is not None
        frames = [*frames, *self.reader.said()]
        while frames:
            for frame in frames:
                self.events += self.dialogue.receive(frame, self.now())
            said, self.dialogue.output[:] = b"".join(self.dialogue.output), []
            frames = list(self.reader.receive(said)) if said else []

    def lose(self) -> None:
        assert self.dialogue is not None
        self.reader.gone()
        self.events += self.dialogue.link_down(self.now())
        self.dialogue = None

    def run(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass, with or without a connection."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            frames = self.reader.tick()
            if self.dialogue is None:
                continue
            self.pump(frames)
            due = self.dialogue.deadline()
            if due is not None and self.clock.monotonic() >= due:
                self.events += self.dialogue.tick(self.now())
                self.pump()

    @property
    def hung_up(self) -> list[str]:
        return [each.reason for each in self.events if isinstance(each, HangUp)]

    def said(self, kind: type[Any], *, clear: bool = False) -> list[Any]:
        """Statements of a kind, in order."""
        found = [
            statement
            for event in self.events
            if isinstance(event, Said)
            for statement in event.records
            if isinstance(statement, kind)
        ]
        if clear:
            self.events.clear()
        return found
