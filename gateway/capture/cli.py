"""``wardgate gateway capture``: record a device's raw bytes, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateway.capture.asking import Request
    from gateway.capture.shelf import Note, Shelf

app = typer.Typer(
    help="Record a device's raw bytes: sealed, limited, audited.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Config = Annotated[
    Path, typer.Option("--config", "-c", help="gateway.toml", envvar="WARDGATE_GATEWAY_CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="For machines")]
Recording = Annotated[str, typer.Argument(metavar="RECORDING", help="Its id, as list shows it")]
DEFAULT_CONFIG = Path("/etc/wardgate/gateway.toml")

ANSWER_S_MAX = 15.0
END_S_MAX = 10.0
"""How long after its time a recording may take to be on its shelf."""
POLL_S = 0.1


@app.callback()
def record(  # noqa: PLR0913, PLR0917  # the options of a command
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    device: Annotated[str, typer.Option(help="The device's id")] = "",
    reason: Annotated[str, typer.Option(help="Why: for the audit log")] = "",
    seconds: Annotated[float, typer.Option(min=0.1, help="How long at most")] = 60.0,
    size: Annotated[int, typer.Option("--bytes", min=1, help="How much at most")] = 16 << 20,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="End its session first: its next one is there from the first byte"
        ),
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait for its end; Ctrl-C ends it")] = True,
    as_json: AsJson = False,
) -> None:
    """Record what a device and this gateway say to each other, above any encryption.

    It is sealed with the gateway's keys, ends by itself, and is in the audit log. Run it as the
    gateway's user, or as root. To take it away: export.
    """
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    import time  # noqa: PLC0415

    from gateway.capture.asking import Begin  # noqa: PLC0415
    from gateway.capture.shelf import Shelf  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.errands import reason_given, who  # noqa: PLC0415

    if not device:
        raise ConfigError(
            "which device? Give --device ID, or a command: list, export, stop, remove"
        )
    state = _state(config)
    request = Begin(
        by=who(),
        at_us=time.time_ns() // 1000,
        device=device,
        reason=reason_given(reason),
        seconds=seconds,
        bytes=size,
        restart=restart,
    )
    recording, shelf = _asked(state, request), Shelf(state)
    if wait:
        if not as_json:
            typer.echo(f"recording {recording} of {device} has begun; Ctrl-C ends it", err=True)
        _wait(state, shelf, recording, seconds)
    note = next(each for each in shelf.notes() if each.recording == recording)
    _say([note], as_json=as_json)


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """Say which recordings there are; opens none."""
    from gateway.capture.shelf import Shelf  # noqa: PLC0415

    _say(Shelf(_state(context.obj)).notes(), as_json=as_json)


@app.command()
def stop(context: typer.Context, recording: Recording) -> None:
    """End a recording now."""
    import time  # noqa: PLC0415

    from gateway.capture.asking import Stop  # noqa: PLC0415
    from gateway.errands import who  # noqa: PLC0415

    request = Stop(by=who(), at_us=time.time_ns() // 1000, recording=recording)
    typer.echo(_asked(_state(context.obj), request))


@app.command()
def remove(context: typer.Context, recording: Recording) -> None:
    """Delete a recording; what was exported of it stays wherever it is."""
    import time  # noqa: PLC0415

    from gateway.capture.asking import Remove  # noqa: PLC0415
    from gateway.errands import who  # noqa: PLC0415

    request = Remove(by=who(), at_us=time.time_ns() // 1000, recording=recording)
    typer.echo(_asked(_state(context.obj), request))


@app.command()
def export(  # the options of a command
    context: typer.Context,
    recording: Recording,
    out: Annotated[Path, typer.Option(help="The file to write")],
    reason: Annotated[str, typer.Option(help="Why: for the audit log")] = "",
    seal_for: Annotated[
        Path | None,
        typer.Option("--for", help="Seal it with this key ring, which the receiver has, too"),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Write pcapng that anybody can read")
    ] = False,
    keys: Annotated[
        Path | None, typer.Option(help="The hospital's key ring [default: the gateway's seal_keys]")
    ] = None,
) -> None:
    """Open a recording with the hospital's key, and write it for whoever is to play it.

    It holds a patient's data: sealed for a receiver's ring (`wardgate gateway keys new`), or in
    the clear, as pcapng. Either is played by: wardgate sim replay FILE.
    """
    import time  # noqa: PLC0415
    from functools import partial  # noqa: PLC0415

    from gateway.capture import opening  # noqa: PLC0415
    from gateway.capture.asking import Export  # noqa: PLC0415
    from gateway.capture.shelf import Shelf  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.errands import reason_given, who  # noqa: PLC0415
    from gateway.keykeeper import KEYS_FILE  # noqa: PLC0415
    from security.scopes import OpenedKeys  # noqa: PLC0415
    from security.sealing import KeyRing  # noqa: PLC0415

    if (seal_for is None) is not plain:
        raise ConfigError("how? Sealed with --for KEYRING, or in the clear with --plain")
    settings = load(context.obj).gateway
    state = settings.state_dir
    path = Shelf(state).file_of(recording)
    opener = OpenedKeys.load(state / KEYS_FILE, KeyRing.load(keys or settings.seal_keys)).open
    ring = None if seal_for is None else KeyRing.load(seal_for)
    if out.exists():
        raise ConfigError(f"{out} is there already")
    request = Export(
        by=who(),
        at_us=time.time_ns() // 1000,
        recording=recording,
        reason=reason_given(reason),
        how="plain" if plain else "sealed",
    )
    _asked(state, request)
    with path.open("rb") as source:
        if ring is None:
            opening.save(out, partial(opening.write_packets, source, opener))
        else:
            opening.save(out, partial(opening.seal_for, source, opener, ring))
    typer.echo(f"{out}: {out.stat().st_size:,} bytes, {'in the clear' if plain else 'sealed'}")
    tail = "" if plain else f" --keys {seal_for}"
    typer.echo(f"play it with    wardgate sim replay {out}{tail} --to WHERE")


def _state(config: Path) -> Path:
    from gateway.config import load  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    state = load(config).gateway.state_dir
    if not state.is_dir():
        raise ConfigError(f"{state}: no such directory; has the gateway ever run?")
    return state


def _asked(state: Path, request: Request) -> str:
    """Let the running gateway do it, and wait for its answer."""
    import time  # noqa: PLC0415

    from gateway.capture.asking import ERRAND  # noqa: PLC0415
    from gateway.carried import Told, tell  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    ERRAND.leave(state, request)
    answer = None
    try:
        if tell(state) is not Told.RUNNING:
            raise ConfigError("no gateway runs here that can be told; nothing was done")
        deadline = time.monotonic() + ANSWER_S_MAX
        while answer is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
            answer = ERRAND.answered(state, request.id)
    finally:
        if answer is None:
            ERRAND.forget(state)  # it is not to be done later
    if answer is None:
        raise ConfigError("the gateway does not answer; nothing was done: see its log")
    if answer.result == "refused":
        raise ConfigError(answer.words)
    return answer.words


def _wait(state: Path, shelf: Shelf, recording: str, seconds: float) -> None:
    """Until a recording has ended; Ctrl-C ends it."""
    import time  # noqa: PLC0415

    from gateway.capture.asking import Stop  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.errands import who  # noqa: PLC0415

    deadline = time.monotonic() + seconds + END_S_MAX
    try:
        while not any(each.recording == recording and each.ended_us for each in shelf.notes()):
            if time.monotonic() > deadline:
                raise ConfigError(f"recording {recording} does not end; see the gateway's log")
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        _asked(state, Stop(by=who(), at_us=time.time_ns() // 1000, recording=recording))


def _say(notes: list[Note], *, as_json: bool) -> None:
    import msgspec  # noqa: PLC0415

    if as_json:
        typer.echo(msgspec.json.encode(notes))
        return
    from datetime import UTC, datetime  # noqa: PLC0415

    row = "{:<16}  {:<16}  {:<16}  {:>8}  {:>11}  {:>11}  {:>8}  {:<15}  {}"
    typer.echo(
        row.format(
            "recording", "device", "begun (UTC)", "seconds", "received", "sent", "sessions",
            "ended by", "asked by, why",
        )
    )  # fmt: skip
    for note in notes:
        told: tuple[Any, ...] = (
            note.recording,
            note.device,
            datetime.fromtimestamp(note.begun_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M"),
            f"{max(0, note.ended_us - note.begun_us) / 1e6:.1f}" if note.ended_us else "-",
            f"{note.received_bytes:,}",
            f"{note.sent_bytes:,}",
            note.sessions,
            note.why or "(goes on)",
            f"{note.by}: {note.reason}",
        )
        typer.echo(row.format(*told))
