"""The fakes, by the name that the tests know."""

from contract.fakes import (
    FakeAdmission,
    FakeAside,
    FakeClock,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
    FakeTap,
)

__all__ = [
    "FakeAdmission",
    "FakeAside",
    "FakeClock",
    "FakeCommands",
    "FakeCounters",
    "FakeSink",
    "FakeState",
    "FakeTap",
]
