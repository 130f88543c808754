"""A core that also writes down what reached it: ``python -m tests.crash.recording_core FILE …``.

One line per section, before it is stored: place, label, treatment, records and bytes, as they came
over the wire. What is sent again has the same line again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from core.store import Offer, Store, Tally, Verdict
from gateway.domain.labels import DataClass, Treatment
from protos.wardgate.v1 import ingest_pb2 as pb
from wardgate.main import run


def record(path: Path) -> None:
    """Let every store of this process write down what it takes."""
    ingest = Store.ingest

    def recorded(
        self: Store, offers: Sequence[Offer], hurry: Callable[[], bool] = lambda: False
    ) -> tuple[list[Verdict], Tally]:
        lines = []
        for offer in offers:
            batch = pb.StreamRequest.FromString(offer.raw).batch
            for section in batch.sections:
                line = [
                    [batch.lane, batch.epoch, batch.first_seq, section.first_seq],
                    DataClass(section.data_class).name.lower(),
                    section.level,
                    Treatment(section.treatment).name.lower(),
                    len(section.records),
                    section.ByteSize(),
                ]
                lines.append(json.dumps(line) + "\n")
        # Before it is stored: whoever is killed in between is not sent it again. At once, so that
        # a kill leaves no half line.
        with path.open("ab", buffering=0) as file:
            file.write("".join(lines).encode())
        return ingest(self, offers, hurry)

    Store.ingest = recorded  # type: ignore[method-assign]


if __name__ == "__main__":
    record(Path(sys.argv[1]))
    del sys.argv[1]
    run()
