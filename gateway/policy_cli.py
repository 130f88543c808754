"""``wardgate policy``: what may leave, why, and what a change of the rules would change.

What a command needs is imported when it runs, so that ``--help`` stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway import policy_show
from gateway.cli import DEFAULT_CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from security.policy import PolicyTable

policy_app = typer.Typer(
    help="What may leave, and in which shape.", no_args_is_help=True, rich_markup_mode=None
)

BROKEN = 1
"""Exit code of ``prove``: an invariant does not hold."""
WIDENS = 3
"""Exit code of ``diff``: something would leave that does not leave now."""
HOURS_MAX = 24 * 366


@policy_app.command("check")
def policy_check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Verify the policy as the gateway would, invariants included, and print its version."""
    from gateway import preflight  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415

    found, table, unproved, proof = preflight.chosen_policy(load(config))
    number, version = found.bundle.number, table.version
    typer.echo(f"policy {number}, {version} is in order, for {len(table.rows)} destinations")
    if unproved:
        typer.echo(f"it was not proved for, and nothing leaves for: {', '.join(unproved)}")
    typer.echo(f"{len(proof.results)} invariants hold in all of {proof.cells} cells")
    for note in proof.notes:
        typer.echo(f"note: {note}")


@policy_app.command("matrix")
def policy_matrix(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Print what happens to every class and level, per destination."""
    from gateway.domain.labels import LEVELS, DataClass, Label  # noqa: PLC0415

    table = _policy(config)
    if as_json:
        policy_show.as_json(
            [
                {
                    "destination": name,
                    **policy_show.label_facts(label),
                    "treatment": treatment.name.lower(),
                }
                for name, row in table.rows.items()
                for label, treatment in row.items()
            ]
        )
        return
    for destination, row in table.rows.items():
        typer.echo(f"{destination}")
        typer.echo(f"  {'class':24}" + "".join(f"level {level:<12}" for level in LEVELS))
        for data_class in DataClass:
            cells = (row[Label(data_class, level)].name.lower() for level in LEVELS)
            typer.echo(f"  {data_class.name.lower():24}" + "".join(f"{cell:<18}" for cell in cells))


@policy_app.command("explain")
def policy_explain(  # noqa: PLR0913  # two ways to say what is meant
    data_class: Annotated[str, typer.Argument(help="For example health_status")] = "",
    level: Annotated[int, typer.Argument(help="1 to 5")] = 0,
    destination: Annotated[str, typer.Argument()] = "",
    *,
    record: Annotated[
        str, typer.Option(help="LANE:SEQ: a record of the journal, such as telemetry:1042")
    ] = "",
    message_id: Annotated[
        str, typer.Option(help="The newest record with this message id (of --device)")
    ] = "",
    device: Annotated[str, typer.Option(help="The newest record of this device")] = "",
    dest: Annotated[str, typer.Option(help="Of a record: only this destination")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say in words which rule decides, for CLASS LEVEL DEST or for a record of the journal.

    For a record: why it has its label, what the policy said at collection and says now, and
    whether the ledger says that it left. Run it on the gateway as its user, or as root; the gateway
    may run. No value, text or name of the record is shown.
    """
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    by_record = bool(record or message_id or device)
    if by_record == bool(data_class or level or destination):
        raise ConfigError("give CLASS LEVEL DEST, or one of --record, --message-id and --device")
    if record and (message_id or device):
        raise ConfigError("--record names one record: not together with --message-id or --device")
    if by_record:
        _explain_record(config, record, (message_id, device), dest, as_json)
    else:
        _explain_label(config, data_class, level, destination or dest, as_json)


def _explain_label(
    config: Path, data_class: str, level: int, destination: str, as_json: bool
) -> None:
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.domain.labels import LEVELS, DataClass  # noqa: PLC0415
    from security import policy  # noqa: PLC0415
    from security.policy import words  # noqa: PLC0415

    table = _policy(config)
    try:
        wanted = DataClass[data_class.upper()]
    except KeyError:
        known = ", ".join(each.name.lower() for each in DataClass)
        raise ConfigError(f"no class {data_class!r}; there are: {known}") from None
    if level not in LEVELS:
        raise ConfigError(f"no level {level}; there are: 1 to 5")
    _require_destination(table, destination)
    decision = policy.explain(table, wanted, level, destination)
    lines = words.explain(decision, table.destinations[destination], table.rules)
    if as_json:
        policy_show.as_json(
            {
                "destination": destination,
                **policy_show.label_facts(decision.label),
                "treatment": decision.treatment.name.lower(),
                "rules": decision.policies,
                "policy": table.version,
                "words": lines,
            }
        )
        return
    for line in lines:
        typer.echo(line)


def _explain_record(
    config: Path, record: str, newest: tuple[str, str], dest: str, as_json: bool
) -> None:
    from gateway import account, plugins, preflight  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from gateway.pipeline.label import Labels  # noqa: PLC0415
    from gateway.uplink.ledger_reading import open_ledger  # noqa: PLC0415

    read = load(config)
    table = preflight.compiled_policy(read)
    if dest:
        _require_destination(table, dest)
    plugins.check(read.drivers, config.resolve().parent, str(config))
    labels = Labels(preflight.classified(read), account.registered(read), read.gateway.name)
    message_id, device = newest
    seen = account.find(read, record or account.newest(message_id, device))
    with open_ledger(read.gateway.state_dir / "ledger.sqlite") as ledger:
        accounts = [
            account.give(seen, name, table, labels, ledger)
            for name in ([dest] if dest else table.rows)
        ]
    said = [list(account.sentences(each, table, labels.classification)) for each in accounts]
    if as_json:
        policy_show.as_json(
            [
                policy_show.account_facts(each, lines, table)
                for each, lines in zip(accounts, said, strict=True)
            ]
        )
        return
    for number, lines in enumerate(said):
        typer.echo(("\n" if number else "") + "\n".join(lines))


@policy_app.command("prove")
def policy_prove(
    policy: Annotated[
        Path | None, typer.Argument(help="A Cedar file or a signed one; default: the gateway's")
    ] = None,
    invariants: Annotated[
        Path | None, typer.Option(help="TOML; default: those that were signed, or are shipped")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="gateway.toml", envvar="WARDGATE_GATEWAY_CONFIG"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what the hospital holds true of every policy, for everything that there can be.

    With a POLICY and without --config, it may name any destination. Exit code 1 when an invariant
    is broken, with a counter-example; 2 when the policy is refused whatever the invariants are.
    """
    from gateway import preflight  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from gateway.policies import invariants_of, local_invariants  # noqa: PLC0415
    from security.policy import prove  # noqa: PLC0415
    from security.policyjudge import stated_invariants  # noqa: PLC0415

    if policy is None and config is None:
        config = DEFAULT_CONFIG
    read = load(config) if config is not None else None
    bundle = preflight.policy_of(policy, read)
    if invariants is not None:
        known = invariants_of(invariants)
    else:
        known = (*stated_invariants(bundle), *(local_invariants(read) if read else ()))
    proof = prove(
        bundle.policy,
        known,
        read.receivers if read is not None else None,
    )
    if as_json:
        policy_show.as_json(policy_show.proof_facts(proof))
    else:
        typer.echo("\n".join(policy_show.proof_lines(proof)))
    if not proof.holds:
        raise typer.Exit(BROKEN)


@policy_app.command("diff")
def policy_diff(  # each is an option of its own
    old: Annotated[Path, typer.Argument(help="A Cedar file, or a signed one")],
    new: Annotated[Path, typer.Argument(help="A Cedar file, or a signed one")],
    config: ConfigOption = DEFAULT_CONFIG,
    ledger: Annotated[
        Path | None, typer.Option(help="ledger.sqlite; default: the gateway's, where it is here")
    ] = None,
    hours: Annotated[
        float, typer.Option(min=0, max=HOURS_MAX, help="How far back traffic is counted")
    ] = 24.0,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="For any destination, not for those configured")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what NEW would release that OLD does not, and what no longer, with the traffic of late.

    Exit code 3 when something would leave that does not leave under OLD. Neither file needs to be
    in force, or to keep the invariants: `prove` says whether it does.
    """
    from gateway import preflight  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from security.policy import differences, differences_everywhere  # noqa: PLC0415

    if everywhere:
        changes = differences_everywhere(
            *(preflight.policy_of(file, None).policy for file in (old, new))
        )
        traffic = None
    else:
        read = load(config)
        changes = differences(*(preflight.table_of(file, read) for file in (old, new)))
        traffic = _traffic(ledger, read.gateway.state_dir / "ledger.sqlite", hours)
    widens = any(change.reveals_more for change in changes)
    if as_json:
        policy_show.as_json(
            {
                "widens": widens,
                "hours": hours,
                "changes": [policy_show.change_facts(each, traffic) for each in changes],
            }
        )
    else:
        policy_show.changes(changes, traffic, hours)
    if widens:
        raise typer.Exit(WIDENS)


def _traffic(given: Path | None, usual: Path, hours: float) -> Any:
    """Records and bytes by destination and label; None where there is no ledger."""
    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.uplink.ledger_reading import open_ledger  # noqa: PLC0415

    if given is None and not usual.exists():
        return None
    with open_ledger(given or usual) as reader:
        return reader.traffic(SystemClock().now_us() - round(hours * 3600e6))


@policy_app.command("classification")
def policy_classification(
    config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Print class and level of everything, and which line of the hospital's file set it."""
    from gateway import account, plugins  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from gateway.pipeline import classification, listing  # noqa: PLC0415

    read = load(config)
    plugins.check(read.drivers, config.resolve().parent, str(config))
    source = classification.read(read.classification)
    told = classification.compiled(source)
    rows = listing.rows(source, told)
    if as_json:
        policy_show.as_json(
            {
                "version": told.version,
                "file": source.path or None,
                "labels": [policy_show.row_facts(row) for row in rows],
            }
        )
        return
    policy_show.labels(rows)
    typer.echo(f"\n{policy_show.edited(rows)}")
    typer.echo(f"classification {told.version}, {source.path or 'no file: the defaults'}")
    for words in account.unheard_of(read, told):
        typer.echo(f"note: {words}")


def _policy(config: Path) -> PolicyTable:
    from gateway import preflight  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415

    return preflight.compiled_policy(load(config))


def _require_destination(table: PolicyTable, name: str) -> None:
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    if name not in table.rows:
        raise ConfigError(f"no destination {name!r}; there are: {', '.join(table.rows) or 'none'}")
