"""``wardgate sim``: simulated devices by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from firmware_sim.endpoints import KeyPair
    from firmware_sim.playback.loading import Loaded
    from firmware_sim.playback.target import Identity, Target

app = typer.Typer(
    help="Simulated devices: play a recording.", no_args_is_help=True, rich_markup_mode=None
)

TELL_EVERY_S = 0.5
BAUD_DEFAULT = 9600
BAUD_MAX = 4_000_000


@app.callback()
def main() -> None:
    """Simulated devices: play a recording."""


@app.command()
def replay(  # noqa: PLR0913, PLR0917  # the options of a command
    recording: Annotated[
        Path,
        typer.Argument(
            metavar="CAPTURE", help="pcap, pcapng, a WFDB record, or a line's raw bytes"
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="pty:PATH, serial:DEVICE, tcp://HOST:PORT, tcp-listen://, tls://, udp://,"
            " udp-listen://, dtls://, mqtts://, coaps://",
        ),
    ] = "",
    speed: Annotated[str, typer.Option(help="1, 10, 0.5, …, or max")] = "1",
    listing: Annotated[bool, typer.Option("--list", help="Only say what it holds")] = False,
    conversation: Annotated[int, typer.Option(min=0, help="Which one, by its number")] = 0,
    device_at: Annotated[
        str, typer.Option(metavar="HOST[:PORT]", help="Which end of it is the device")
    ] = "",
    frame: Annotated[
        str, typer.Option(help="Put around each piece: none, intellivue or mllp")
    ] = "",
    baud: Annotated[
        int, typer.Option(min=50, max=BAUD_MAX, help="Of raw bytes, which have no times")
    ] = BAUD_DEFAULT,
    keys: Annotated[
        Path | None, typer.Option(help="The key ring that a gateway's recording was sealed for")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(help="The device's directory: cert.pem, key.pem, ca.pem")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="The gateway's root, if it is not in --identity")
    ] = None,
    device: Annotated[str, typer.Option(help="The device's id, for a patient's record")] = "",
    boot: Annotated[
        str, typer.Option(help="Of a record's message ids; the same again is stored once")
    ] = "replay",
    samples: Annotated[int, typer.Option(min=0, help="Of a record; 0: all")] = 0,
    wait: Annotated[float, typer.Option(min=0.1, help="Seconds for the gateway to come")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="For machines")] = False,
) -> None:
    """Play what a device said once against a gateway that runs.

    Times are kept, faster or slower, or everything goes as fast as possible. What can't be played
    is refused and said why.
    """
    from firmware_sim.playback import loading, target  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    if not listing and not to:
        raise ConfigError("where to? Give --to WHERE, or --list to see what it holds")
    where = target.parse(to) if to else None
    who = _identity(identity, ca)
    if loading.is_record(recording):
        _record(recording, where, who, speed, (device, boot, samples), as_json=as_json)
        return
    loaded = loading.load(recording, loading.read(recording), baud, keys)
    if listing or where is None:
        _list(loaded, as_json=as_json)
        return
    from firmware_sim.playback import framing, pace, player  # noqa: PLC0415

    chosen = loading.choose(recording, loaded, conversation)
    if frame:
        chosen = [framing.framed(each, frame) for each in chosen]
    chosen = [target.fitting(each, where, device_at) for each in chosen]
    subject = player.Player(
        target.way_maker(where, who, wait),
        pace.speed_of(speed),
        wait,
        _teller(lambda p: (p.sent_bytes, p.of_bytes, f"{p.heard_bytes:,} bytes from the gateway")),
    )
    import asyncio  # noqa: PLC0415

    done = asyncio.run(subject.play(chosen))
    _end_of_progress()
    if as_json:
        _print_json({"device": chosen[0].device, "notes": loaded.notes, **done._asdict()})
        return
    for note in loaded.notes:
        typer.echo(f"note            {note}")
    if not all(each.whole for each in chosen):
        typer.echo("note            it was recorded from the middle on")
    typer.echo(f"device          {chosen[0].device}")
    typer.echo(f"sent            {done.sent_bytes:,} bytes in {done.pieces:,} pieces")
    typer.echo(f"from gateway    {done.heard_bytes:,} bytes")
    if done.turns:
        left = done.turns_taken < done.turns
        words = "; then by the clock alone" if left else ""
        typer.echo(f"turns           the gateway took {done.turns_taken} of {done.turns}{words}")
    typer.echo(f"time            {done.seconds:.1f} s for {done.recorded_seconds:.1f} s")


def _record(
    path: Path,
    where: Target | None,
    who: Identity | None,
    speed: str,
    told: tuple[str, str, int],
    *,
    as_json: bool,
) -> None:
    """Play, or list, a WFDB record."""
    import asyncio  # noqa: PLC0415

    from firmware_sim.playback import pace, patient, target  # noqa: PLC0415
    from firmware_sim.replay import Replay  # noqa: PLC0415
    from firmware_sim.wfdb import read_record  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    device, boot, samples = told
    record = read_record(path)
    if where is None:
        if as_json:
            units = {each.name: each.units for each in record.signals}
            _print_json({"record": record.name, "samples": record.frames, "signals": units})
            return
        names = ", ".join(f"{each.name} ({each.units})" for each in record.signals)
        typer.echo(f"record {record.name}: {record.frames} samples of {names}")
        return
    target.require(where, target.Carries.RECORD)
    if not device:
        raise ConfigError("whose readings are they? Give --device ID")
    if where.scheme.secure and who is None:
        raise ConfigError(f"--to {where.words}: whose part is played? Give --identity DIRECTORY")
    replay, clock, factor = Replay(record), SystemClock(), pace.speed_of(speed)
    interval_s = 1 / record.frequency_hz / factor if factor else 0.0
    if where.name == "pty":
        interval_s = max(interval_s, patient.MONITOR_INTERVAL_S_MIN)
    telling = patient.Telling(
        boot,
        lambda: clock.now_us() // 1000,
        told=_teller(lambda p: (p[0], p[1], "samples")),
    )

    async def run() -> patient.Played:
        link = patient.link_of(where, who, device, interval_s)
        return await patient.play(replay, interval_s, link, telling, samples)

    done = asyncio.run(run())
    _end_of_progress()
    recorded_s = done.samples / record.frequency_hz
    if as_json:
        _print_json({"device": device, **done._asdict(), "recorded_seconds": recorded_s})
        return
    became = ", ".join(f"{n:,} {name}" for name, n in done.outcomes.items() if n)
    typer.echo(f"device          {device}")
    typer.echo(f"sent            {done.samples:,} samples: {became}")
    typer.echo(f"time            {done.seconds:.1f} s for {recorded_s:.0f} s")


def _list(loaded: Loaded, *, as_json: bool) -> None:
    """What a file holds."""
    from firmware_sim.playback.conversation import Side  # noqa: PLC0415

    rows = [
        {
            "number": number,
            "carrier": each.conversation.carrier.value,
            "begun_by": each.conversation.device,
            "with": each.conversation.peer,
            "said": each.conversation.bytes_of(Side.DEVICE),
            "answered": each.conversation.bytes_of(Side.PEER),
            "seconds": round(each.conversation.seconds, 3),
            "lacks": each.lacks,
        }
        for number, each in enumerate(loaded.found, start=1)
    ]
    if as_json:
        _print_json({"conversations": rows, "notes": loaded.notes})
        return
    row = "{:>3}  {:<9}  {:<24}  {:<24}  {:>10}  {:>10}  {:>9}  {}"
    typer.echo(row.format("", "", "begun by", "with", "said", "answered", "seconds", ""))
    for each in rows:
        typer.echo(
            row.format(
                each["number"],
                each["carrier"],
                each["begun_by"],
                each["with"] or "-",
                f"{each['said']:,}",
                f"{each['answered']:,}",
                each["seconds"],
                f"can't be played: {each['lacks']}" if each["lacks"] else "",
            ).rstrip()
        )
    for note in loaded.notes:
        typer.echo(note)


def _identity(directory: Path | None, ca: Path | None) -> Identity | None:
    from firmware_sim.endpoints import KeyPair  # noqa: PLC0415
    from firmware_sim.playback.target import Identity  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    if directory is None:
        return None
    pair: KeyPair = KeyPair(directory / "cert.pem", directory / "key.pem")
    root = ca or directory / "ca.pem"
    for file in (root, pair.cert, pair.key):
        if not file.is_file():
            raise ConfigError(f"--identity {directory}: {file} is missing")
    return Identity(root, pair)


def _teller(read: Callable[[Any], tuple[int, int, str]]) -> Callable[..., None]:
    """Says how far it has come, on a terminal and not too often."""
    import sys  # noqa: PLC0415
    import time  # noqa: PLC0415

    next_at = [time.monotonic() + TELL_EVERY_S]
    shown = sys.stderr.isatty()

    def tell(*progress: Any) -> None:
        if not shown or time.monotonic() < next_at[0]:
            return
        next_at[0] = time.monotonic() + TELL_EVERY_S
        done, of, words = read(progress[0] if len(progress) == 1 else progress)
        typer.echo(f"\r{done:,} of {of:,}, {words}    ", err=True, nl=False)

    return tell


def _end_of_progress() -> None:
    import sys  # noqa: PLC0415

    if sys.stderr.isatty():
        typer.echo("\r" + " " * 70 + "\r", err=True, nl=False)


def _print_json(content: Any) -> None:
    import msgspec  # noqa: PLC0415

    typer.echo(msgspec.json.encode(content))
