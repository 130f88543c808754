"""``wardgate gateway keys`` and ``wardgate gateway erase``: the keys at rest, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateway.sealed import Use

app = typer.Typer(
    help="The keys that seal what lies on disk.", no_args_is_help=True, rich_markup_mode=None
)

Ring = Annotated[Path, typer.Argument(help="The hospital's key ring (seal_keys)")]
State = Annotated[Path, typer.Option("--state", help="The gateway's state directory")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines")]

ANSWER_S_MAX = 60.0
"""How long an erasure is waited for; it goes on without whoever waits."""
POLL_S = 0.1


@app.callback()
def main() -> None:
    """The keys that seal what lies on disk."""


@app.command()
def show(state: State, as_json: AsJson = False) -> None:
    """Say which keys there are, and how much there is that each sealed. Opens nothing."""
    from gateway import sealed  # noqa: PLC0415

    hospital = sealed.key_file(state).hospital_key
    uses = sealed.survey(state)
    if as_json:
        _print_json({"hospital_key": hospital, "keys": [use._asdict() for use in uses]})
        return
    typer.echo(f"the scopes' keys are sealed by the hospital's key {hospital}")
    _table(uses)


@app.command()
def new(ring: Ring) -> None:
    """Add a key to a ring, or make a ring of one key; the newest key seals."""
    from security.sealing import KeyRing  # noqa: PLC0415

    made = KeyRing.load(ring).rotated() if ring.exists() else KeyRing.generate()
    made.save(ring)
    typer.echo(f"{ring}: key {made.active} seals from the gateway's next SIGHUP or start on")


@app.command()
def drop(ring: Ring, key: Annotated[int, typer.Argument(min=1)], state: State) -> None:
    """Take an old key out of a ring, when nothing in the state directory needs it any more."""
    from gateway import sealed  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from security.sealing import KeyRing  # noqa: PLC0415

    if sealed.key_file(state).hospital_key == key:
        raise ConfigError(f"key {key} seals the scopes' keys in {state}: SIGHUP the gateway first")
    direct = [use for use in sealed.survey(state) if use.key_id == str(key)]
    if direct:
        found = ", ".join(f"{use.pieces} of {use.scope}" for use in direct)
        raise ConfigError(
            f"an earlier release sealed with key {key} itself, and it is there: {found}"
        )
    KeyRing.load(ring).without(key).save(ring)
    typer.echo(f"{ring}: key {key} is gone; destroy its copies, too")


def erase(  # noqa: PLR0913, PLR0917  # what a person decides
    scope: Annotated[str, typer.Argument(help="For example journal.telemetry, aside, state")],
    state: State,
    reason: Annotated[str, typer.Option(help="Why: for the audit log")] = "",
    day: Annotated[str, typer.Option(help="Only what was sealed from this day's key (UTC)")] = "",
    before: Annotated[str, typer.Option(help="Only the keys of the days before this one")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also what a destination does not have yet")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Destroy the keys of a scope: what they sealed opens never again.

    Without --yes it only says what would go. The running gateway goes on under a new key; what a
    destination lacks is told to it as a Gap.
    """
    from gateway import sealed  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    uses = sealed.chosen(sealed.survey(state), scope, day, before)
    if not yes:
        if as_json:
            _print_json({"erased": False, "keys": [use._asdict() for use in uses]})
            return
        _table(uses)
        if scope == "state":
            typer.echo("the state itself goes on, sealed anew; older copies of it open no more")
        typer.echo("nothing was erased: this is what --yes would destroy, for good")
        return
    if not reason:
        raise ConfigError("--reason: say why, for the audit log")
    words = _asked(state, scope, uses, reason, force=force)
    hospital = sealed.key_file(state).hospital_key
    if as_json:
        _print_json({"erased": True, "words": words, "hospital_key": hospital})
        return
    typer.echo(f"{scope}: {words}")
    typer.echo(
        f"Copies of {state / 'keys'} from before open it still, for whoever has the hospital's key"
        f" {hospital}: make a new one (wardgate gateway keys new), reload, and destroy the old."
    )


def _asked(state: Path, scope: str, uses: list[Use], reason: str, *, force: bool) -> str:
    """Let the running gateway do it, and wait for its answer."""
    import time  # noqa: PLC0415

    from gateway import erasure  # noqa: PLC0415
    from gateway.carried import Told, tell  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    keys = tuple(use.key_id for use in uses)
    request = erasure.request(state, scope, keys, reason, force=force)
    if tell(state) is Told.NONE_RUNS:
        return "no gateway runs here: its next start erases it"
    deadline = time.monotonic() + ANSWER_S_MAX
    while time.monotonic() < deadline:
        answer = erasure.answered(state, request.id)
        if answer is not None and answer.result == "refused":
            raise ConfigError(f"{scope} was not erased: {answer.words}")
        if answer is not None:
            return answer.words
        time.sleep(POLL_S)
    raise ConfigError("the gateway has not answered yet; it erases as soon as it can, see its log")


def _print_json(content: Any) -> None:
    import msgspec  # noqa: PLC0415

    typer.echo(msgspec.json.encode(content))


def _table(uses: list[Use]) -> None:
    from datetime import UTC, datetime  # noqa: PLC0415

    row = "{:<18} {:<14} {:<17} {:>8} {:>10} {:>12}  {}"
    typer.echo(row.format("scope", "key", "since (UTC)", "pieces", "records", "bytes", ""))
    for use in uses:
        since = datetime.fromtimestamp(use.begun_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M")
        notes = ["seals now"] if use.seals else []
        notes += [f"{name} lacks {n}" for name, n in sorted(use.lacking.items()) if n]
        typer.echo(
            row.format(
                use.scope,
                use.key_id,
                since if use.begun_us else "(of the ring)",
                f"{use.pieces:,}",
                f"{use.records:,}" if use.records else "",
                f"{use.bytes:,}",
                ", ".join(notes),
            ).rstrip()
        )
