"""One driver under atheris: its codec, and where it has a dialogue without I/O, that too.

The dialogue is what stands behind the codec in the gateway: state, mapping, quirks. It gets the
same bytes in chunks, as they are and with checksums put right, must not raise at all, and may keep
little for later.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import atheris

MEMORY_MIB_MAX = 1024
INPUT_S_MAX = 5
INPUT_BYTES_MAX = 4096
HELD_BYTES_MAX = 16 * 1024
"""What a dialogue's decoders may keep of what was said."""


def target(name: str) -> tuple[Callable[[bytes], None], list[bytes]]:
    """What is called with each input, and the inputs to begin with."""
    with atheris.instrument_imports(include=["drivers"]):
        (entry,) = entry_points(group="wardgate.exhibits", name=name)
        exhibit = entry.load()
        from drivers.base.dialogue import Moment  # noqa: PLC0415  # instrumented
        from gateway import plugins  # noqa: PLC0415
        from tests.fuzz.sealed import SEALS  # noqa: PLC0415

        factory: Any = plugins.factory(exhibit.driver)
    from gateway.domain.devices import Device  # noqa: PLC0415
    from gateway.domain.errors import WardgateError  # noqa: PLC0415
    from gateway.domain.records import Attestation, Provenance  # noqa: PLC0415

    dialogues: Any = None
    if hasattr(factory, "protocol"):
        from contract.exhibit import Place  # noqa: PLC0415
        from gateway import tomlfile  # noqa: PLC0415

        table = dict(exhibit.config(Place(1)))
        config: Any = tomlfile.convert(table, factory.config_type, base=Path("/"), where=name)
        provenance = Provenance(name, Attestation.PORT, "port")
        make = factory.protocol.dialogues
        dialogues = make(config.bound[0], provenance, random.Random(1))
    device = Device("fuzz-1", kind="monitor", bed="7", ward="icu")

    def say(data: bytes, step: int) -> None:
        dialogue, moment = dialogues(device), Moment(1.0, 1_800_000_000_000_000)
        list(dialogue.begin(moment))
        for n, at in enumerate(range(0, len(data), step)):
            moment = Moment(1.0 + n, moment.wall_us + n * 1_000_000)
            list(dialogue.receive(data[at : at + step], moment))
            list(dialogue.tick(moment))
            dialogue.output.clear()
        if (held := held_bytes(dialogue)) > HELD_BYTES_MAX:
            raise MemoryError(f"{held} bytes are kept")
        list(dialogue.link_down(moment))

    def share(data: bytes, step: int) -> None:
        """The same through the arbiter of a line with several devices."""
        bus, station = factory.protocol.bus(), config.bound[0].station
        dialogue, moment = dialogues(device), Moment(1.0, 1_800_000_000_000_000)
        bus.opened()
        list(dialogue.begin(moment))
        for n, at in enumerate(range(0, len(data), step)):
            moment = Moment(1.0 + n, moment.wall_us)
            for said in dialogue.output:
                bus.send(station, said, moment.monotonic_s)
            dialogue.output.clear()
            for whose, said in bus.receive(data[at : at + step], moment.monotonic_s):
                if whose == station:
                    list(dialogue.receive(said, moment))
            bus.tick(moment.monotonic_s)
            list(dialogue.tick(moment))
            bus.output.clear()
        if (held := held_bytes(bus) + bus.pending()) > HELD_BYTES_MAX:
            raise MemoryError(f"{held} bytes are kept")

    seal = SEALS.get(name)

    def one(data: bytes) -> None:
        with contextlib.suppress(WardgateError):
            exhibit.decode(data)
        if dialogues is None or not data:
            return
        say(data, 1 + data[0])
        if seal is not None:
            say(seal(data), 1 + data[0])
            if factory.protocol.bus is not None:
                share(seal(data), 1 + data[0])

    return one, list(exhibit.frames)


def held_bytes(dialogue: Any) -> int:
    """What its decoders keep for later."""
    return sum(
        pending()
        for part in vars(dialogue).values()
        if callable(pending := getattr(part, "pending", None))
    )


def main() -> None:
    """Fuzz; libFuzzer says on standard error what came of it, and ends the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--findings", type=Path, required=True)
    arguments = parser.parse_args()
    one, frames = target(arguments.name)
    for number, frame in enumerate(frames):
        (arguments.corpus / f"frame-{number}").write_bytes(frame)
    flags = (
        f"-max_total_time={arguments.seconds}",
        f"-timeout={INPUT_S_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-artifact_prefix={arguments.findings}/{arguments.name}-",
    )
    atheris.Setup([sys.argv[0], *flags, str(arguments.corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
