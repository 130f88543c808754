"""Coverage-guided fuzzing of a serial driver, from its bytes to its records.

    pip install atheris                                # needs no place in the lock: run by hand
    python tools/fuzz.py datex_s5 CORPUS -max_total_time=600 -max_len=3000

Each input is what a device says, in two pieces, to a new dialogue of the driver; where a checksum
would keep everything out, also with checksums put right. A crash is an exception that leaves the
dialogue, or a dialogue that holds on to more than HELD_BYTES_MAX. CORPUS is a directory with a few
valid frames to begin with; what follows are libFuzzer's options.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Final

import atheris
import msgspec

with atheris.instrument_imports(include=["drivers"]):
    from drivers.base.dialogue import Dialogue, Moment
    from drivers.datex_s5 import framing as datex
    from drivers.intellivue import framing as intellivue

from gateway.domain.devices import Device
from gateway.domain.records import Attestation, Provenance

HELD_BYTES_MAX: Final = 16 * 1024
NOW: Final = Moment(5.0, 1_800_000_000_000_000)
LATER: Final = Moment(100.0, 1_800_000_095_000_000)


def datex_frames(data: bytes) -> bytes:
    """Records between double flags, each with its length and its checksum."""
    frames = b""
    for part in data.split(b"\x7e\x7e"):
        record = part[: datex.RECORD_BYTES_MAX]
        if len(record) > 1:
            record = struct.pack("<h", len(record)) + record[2:]
        frames += datex.encode(record)
    return frames


def intellivue_frames(data: bytes) -> bytes:
    """Payloads between double flags, each with its length and its FCS."""
    parts = data.split(b"\xc0\xc0")
    return b"".join(intellivue.encode(part[: intellivue.PAYLOAD_BYTES_MAX]) for part in parts)


SEALS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "datex_s5": datex_frames,
    "intellivue": intellivue_frames,
}


def dialogues_of(name: str) -> Callable[[Device], Dialogue]:
    """Makes the driver's dialogues, for a device on a port and all else as by default."""
    found = tuple(entry_points(group="wardgate.drivers", name=name))
    if not found:
        sys.exit(f"no driver is called {name!r}")
    with atheris.instrument_imports(include=["drivers"]):
        factory: Any = found[0].load()
    if not hasattr(factory, "protocol"):
        sys.exit(f"{name} is no driver for a device on a line (drivers/base/lines.py)")
    (entries, *_) = msgspec.structs.fields(factory.config_type)
    table = {entries.name: [{"device_id": "fuzzed", "port": "/dev/null"}]}
    (bound,) = msgspec.convert(table, factory.config_type).bound
    provenance = Provenance(name, Attestation.PORT, "/dev/null")
    made: Callable[[Device], Dialogue] = factory.protocol.dialogues(
        bound,
        provenance,
        random.Random(1),  # noqa: S311 - jitter, the same in each run
    )
    return made


def held_bytes(dialogue: Dialogue) -> int:
    """What its decoders keep for later."""
    return sum(
        pending()
        for part in vars(dialogue).values()
        if callable(pending := getattr(part, "pending", None))
    )


def main() -> None:
    """Fuzz until told to stop."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    make, seal = dialogues_of(name), SEALS.get(name)

    def one(data: bytes) -> None:
        for stream in (data,) if seal is None else (data, seal(data)):
            dialogue = make(Device("fuzzed"))
            list(dialogue.begin(NOW))
            cut = len(stream) // 3
            for chunk in (stream[:cut], stream[cut:]):
                if chunk:
                    list(dialogue.receive(chunk, NOW))
            list(dialogue.tick(LATER))
            if held_bytes(dialogue) > HELD_BYTES_MAX:
                raise MemoryError(f"{held_bytes(dialogue)} bytes")

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
