"""What the devices saw, as JSON lines: the simulator's own account of a run.

``F`` holds the messages. Each has a line when it is handed to its transport and one when its
fate is known; both have the same ``device`` and ``message_id``:

    {"device","message_id","transport","kind","sent_us","acknowledged_us","outcome"}

``outcome`` is ``sent`` in the first line, then ``acknowledged``, ``unconfirmed``, ``refused`` or
``given_up``. ``acknowledged_us`` is null until the gateway acknowledged. A repetition on purpose
has ``"fault":"duplicates"`` and the same id. Serial lines carry no message id: it is "".

``F`` with ``.faults`` before its suffix holds everything else that was tried:

    {"at_us","device","fault","outcome","detail"}

``F`` with ``.cabinets`` before its suffix holds what truly lies in cabinets, a line per change; no
place: it is in none.

    {"at_us","cabinet","epc","place"}

Each line is flushed when it is written, so that a killed simulator leaves a torn line at most.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import msgspec

_encode = msgspec.json.Encoder().encode


class Sent(NamedTuple):
    """One message on its way."""

    device: str
    message_id: str
    transport: str
    kind: str
    sent_us: int
    fault: str = ""


def cabinets_of(path: Path) -> Path:
    """Where the truth about cabinets lies beside the messages."""
    return path.with_name(f"{path.stem}.cabinets{path.suffix}")


class Log:
    """The files of a run; also counts outcomes for the summary."""

    def __init__(self, path: Path) -> None:
        self._messages: IO[bytes] = path.open("wb", buffering=0)
        faults = path.with_name(f"{path.stem}.faults{path.suffix}")
        self._faults: IO[bytes] = faults.open("wb", buffering=0)
        self._cabinets: IO[bytes] = cabinets_of(path).open("wb", buffering=0)
        self.outcomes: Counter[str] = Counter()

    def sent(self, message: Sent) -> None:
        """The message is being handed to its transport."""
        self.outcomes["sent"] += 1
        self._write(message, None, "sent")

    def settled(self, message: Sent, outcome: str, acknowledged_us: int | None) -> None:
        """What became of it."""
        self.outcomes[outcome] += 1
        self._write(message, acknowledged_us, outcome)

    def fault(self, at_us: int, device: str, fault: str, outcome: str, detail: str = "") -> None:
        """Something was tried that should fail, or that harms."""
        line = {
            "at_us": at_us,
            "device": device,
            "fault": fault,
            "outcome": outcome,
            "detail": detail,
        }
        self._faults.write(_encode(line) + b"\n")

    def truth(self, at_us: int, cabinet: str, epc: str, place: str) -> None:
        """Something lies elsewhere from now on."""
        line = {"at_us": at_us, "cabinet": cabinet, "epc": epc, "place": place}
        self._cabinets.write(_encode(line) + b"\n")

    def _write(self, message: Sent, acknowledged_us: int | None, outcome: str) -> None:
        line: dict[str, object] = {
            "device": message.device,
            "message_id": message.message_id,
            "transport": message.transport,
            "kind": message.kind,
            "sent_us": message.sent_us,
            "acknowledged_us": acknowledged_us,
            "outcome": outcome,
        }
        if message.fault:
            line["fault"] = message.fault
        self._messages.write(_encode(line) + b"\n")

    def close(self) -> None:
        """Idempotent."""
        self._messages.close()
        self._faults.close()
        self._cabinets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
