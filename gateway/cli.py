"""``wardgate gateway | doctor``: what a person does at an edge box.

What a command needs is imported when it runs, so that ``--help`` stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway import keys_cli
from gateway.capture.cli import app as capture_app
from gateway.local.status_cli import status
from gateway.packetfilter.cli import app as packetfilter_app

gateway_app = typer.Typer(help="The edge daemon.", no_args_is_help=True, rich_markup_mode=None)
gateway_app.add_typer(packetfilter_app, name="packetfilter")

gateway_app.add_typer(keys_cli.app, name="keys")
gateway_app.add_typer(capture_app, name="capture")
gateway_app.command("erase")(keys_cli.erase)
gateway_app.command("status")(status)

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


def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Look for what is wrong: files, certificates, policy, disk, ports, clock, who answers."""
    from gateway import preflight  # noqa: PLC0415
    from gateway.doctor import examine  # noqa: PLC0415

    findings = examine(config)
    preflight.show(findings, as_json=as_json)
    if any(not finding.well for finding in findings):
        raise typer.Exit(1)
