"""``wardgate gateway | policy | doctor``: what a person does at an edge box.

What a command needs is imported when it runs, so that ``--help`` stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.packetfilter.cli import app as packetfilter_app

gateway_app = typer.Typer(help="The edge daemon.", no_args_is_help=True, rich_markup_mode=None)
policy_app = typer.Typer(
    help="What may leave, and in which shape.", no_args_is_help=True, rich_markup_mode=None
)
gateway_app.add_typer(packetfilter_app, name="packetfilter")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="gateway.toml", envvar="WARDGATE_GATEWAY_CONFIG")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines")]
DEFAULT_CONFIG = Path("/etc/wardgate/gateway.toml")


@gateway_app.command("run")
def gateway_run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the gateway until it is told to stop (SIGTERM); SIGHUP applies changes."""
    import logging  # noqa: PLC0415
    import os  # noqa: PLC0415

    # Whether a destination answers is in our own log and metrics; gRPC's says it for each try.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    from gateway import daemon  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415

    logging.basicConfig(
        level=load(config).gateway.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    daemon.run(config)


@gateway_app.command("check")
def gateway_check(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Check configuration, certificates and policy, and print what would run."""
    from gateway import preflight  # noqa: PLC0415

    preflight.show(preflight.check(config), as_json=as_json)


@gateway_app.command("addresses")
def gateway_addresses(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print a systemd drop-in that limits the gateway to the addresses it needs."""
    from gateway import preflight  # noqa: PLC0415

    typer.echo(preflight.address_limits(config))


@gateway_app.command("pin")
def gateway_pin(
    certificates: Annotated[
        Path, typer.Argument(help="PEM: a receiver's certificate, or its CA's")
    ],
) -> None:
    """Print the pins of certificates, for a destination's `pins`."""
    from security.pins import pin_of  # noqa: PLC0415
    from security.pki import load_certificates  # noqa: PLC0415

    for each in load_certificates(certificates):
        typer.echo(f"{pin_of(each)}  {each.subject.rfc4514_string() or 'no subject'}")


@gateway_app.command("apply-revocations")
def gateway_apply_revocations(
    file: Annotated[Path, typer.Argument(help="From: wardgate fleet revocations --out FILE")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Apply a signed list of revocations that was carried here; for a gateway that is cut off.

    Live sessions of what it revokes end at once. A list that is older, damaged or another ward's
    is refused. Run it as the gateway's user, or as root.
    """
    from gateway.carried import Told, apply  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415

    done = apply(load(config), file, SystemClock())
    told = {
        Told.RUNNING: "the running gateway is told",
        Told.NONE_RUNS: "no gateway runs here: it counts from the next start",
        Told.UNKNOWN: "the running gateway could not be told: send it SIGHUP",
    }[done.told]
    what = "in force" if done.newer else "in force already"
    entries = len(done.current.serials)
    typer.echo(f"list {done.current.number}, {entries} entries, is {what}; {told}")


@policy_app.command("check")
def policy_check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Verify the policy as the gateway would, and print its version."""
    table = _policy(config)
    typer.echo(f"policy {table.version} is in order, for {len(table.rows)} destinations")


@policy_app.command("matrix")
def policy_matrix(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Print what happens to every class and level, per destination."""
    import json  # noqa: PLC0415

    from gateway.domain.labels import LEVELS, DataClass, Label  # noqa: PLC0415

    table = _policy(config)
    if as_json:
        rows = [
            {
                "destination": destination,
                "class": label.data_class.name.lower(),
                "level": label.level,
                "treatment": treatment.name.lower(),
            }
            for destination, row in table.rows.items()
            for label, treatment in row.items()
        ]
        typer.echo(json.dumps(rows))
        return
    for destination, row in table.rows.items():
        typer.echo(f"{destination}")
        typer.echo(f"  {'class':24}" + "".join(f"level {level:<12}" for level in LEVELS))
        for data_class in DataClass:
            cells = (row[Label(data_class, level)].name.lower() for level in LEVELS)
            typer.echo(f"  {data_class.name.lower():24}" + "".join(f"{cell:<18}" for cell in cells))


@policy_app.command("explain")
def policy_explain(
    data_class: Annotated[str, typer.Argument(help="For example health_status")],
    level: Annotated[int, typer.Argument(min=1, max=5)],
    destination: Annotated[str, typer.Argument()],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Say which rule decides about a class and level for a destination."""
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.domain.labels import DataClass  # noqa: PLC0415
    from security import policy  # noqa: PLC0415

    table = _policy(config)
    try:
        wanted = DataClass[data_class.upper()]
    except KeyError:
        known = ", ".join(each.name.lower() for each in DataClass)
        raise ConfigError(f"no class {data_class!r}; there are: {known}") from None
    if destination not in table.rows:
        raise ConfigError(
            f"no destination {destination!r}; there are: {', '.join(table.rows) or 'none'}"
        )
    decision = policy.explain(table, wanted, level, destination)
    typer.echo(f"{data_class} level {level} to {destination}: {decision.treatment.name.lower()}")
    for asked in decision.asked:
        rules = ", ".join(asked.policies) or "no rule permits it"
        verdict = "permitted by" if asked.permitted else "not permitted:"
        typer.echo(f"  {asked.treatment.name.lower():14} {verdict} {rules}")


def _policy(config: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202  # late import
    from gateway import preflight  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415

    return preflight.compiled_policy(load(config))


def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Look for what is wrong: files, certificates, policy, disk, ports, clock, who answers."""
    from gateway import preflight  # noqa: PLC0415
    from gateway.doctor import examine  # noqa: PLC0415

    findings = examine(config)
    preflight.show(findings, as_json=as_json)
    if any(not finding.well for finding in findings):
        raise typer.Exit(1)
