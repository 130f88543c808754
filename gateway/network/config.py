"""``[sim]``: what becomes of a device when the network and the registry disagree about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from gateway.network.judge import Mismatch


class Answer(StrEnum):
    """What is done, from the mildest on; an alarm is raised in any case."""

    ALARM = "alarm"
    QUARANTINE = "quarantine"
    """It is collected, and nothing of it is released."""
    REFUSE = "refuse"
    """Its sessions end, and it is kept out."""


class SimConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done about each kind of mismatch, until it agrees again."""

    sim_moved: Answer = Answer.ALARM
    wrong_imei: Answer = Answer.ALARM
    wrong_dnn: Answer = Answer.ALARM
    wrong_slice: Answer = Answer.ALARM
    outside_tac: Answer = Answer.ALARM
    outside_fence: Answer = Answer.ALARM
    """Of devices whose class in ``[fence]`` says nothing else."""
    sim_changed: Answer = Answer.ALARM
    modem_changed: Answer = Answer.ALARM

    def answer(self, kind: Mismatch) -> Answer:
        """What is done about one kind."""
        answer: Answer = getattr(self, kind.value)
        return answer
