"""``wardgate``: the command line of every part.

Bad input ends in one line that says what is wrong and what to do, and exit code 2; never in a
traceback. A part's command module is imported when one of its commands is asked for, and imports
its work later still, so that ``--help`` stays quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from gateway.domain.errors import WardgateError, words


class Part(NamedTuple):
    """Where a command's code is, and what the list of commands says of it."""

    module: str
    name: str
    """Of a group of commands, or of a function that is one."""
    help: str


PARTS = {
    "doctor": Part("gateway.cli", "doctor", "Look for what is wrong with a gateway."),
    "gateway": Part("gateway.cli", "gateway_app", "The edge daemon."),
    "alarms": Part(
        "gateway.notification.cli", "app", "Alarms of a ward: list, watch, acknowledge, silence."
    ),
    "association": Part(
        "gateway.association.cli",
        "app",
        "Who lies where, and where devices stand: see, say, correct.",
    ),
    "policy": Part("wardgate.policy_cli", "app", "What may leave, and in which shape."),
    "audit": Part("wardgate.audit_cli", "app", "Audit logs: verify, show, export, prove."),
    "release": Part("gateway.releasereport.cli", "app", "What left the hospital."),
    "metrics": Part("wardgate.metrics_cli", "app", "Metrics and units: list, convert."),
    "driver": Part("wardgate.driver_cli", "app", "Drivers: list, new."),
    "cabinet": Part(
        "gateway.cabinet.cli",
        "app",
        "RFID cabinets: show, history, reconcile, issued, list-import.",
    ),
    "core": Part("core.cli", "app", "The reference receiving end."),
    "fleet": Part("fleet.cli", "app", "The fleet service: gateways, health, certificates."),
    "device": Part(
        "fleet.device_cli", "app", "Devices: add, provision, list, show, update, revoke."
    ),
    "ca": Part(
        "fleet.ca_cli", "app", "Authorities: the root, issuing CAs, and how one follows another."
    ),
    "identity": Part("wardgate.identity_cli", "app", "An identity on its host: install."),
    "operator": Part("fleet.operator_cli", "app", "Operators: add, list, show, roles, revoke."),
    "approval": Part(
        "fleet.approval_cli", "app", "Dangerous calls that wait for a second operator."
    ),
    "reidentify": Part(
        "fleet.reidentify_cli",
        "app",
        "Find the devices behind a project's pseudonyms; takes two persons and the key.",
    ),
    "claim": Part(
        "fleet.claim_cli",
        "claims",
        "Devices that asked for a certificate before they were registered.",
    ),
    "clocks": Part(
        "gateway.ownclock.cli", "app", "Clocks: the gateway's own and the devices', as estimated."
    ),
    "infusion": Part(
        "gateway.infusion.cli", "app", "Infusions: drips and pumps, what is left and for how long."
    ),
    "fence": Part(
        "gateway.fence.cli", "app", "The electronic fence: where the network sees devices."
    ),
    "network": Part(
        "gateway.networkapi.cli",
        "app",
        "The operator's network: where it sees a device, whose flow is first, whose SIM changed.",
    ),
    "sim": Part("firmware_sim.cli", "app", "Simulated devices: play a recording."),
    "attack": Part("attack.cli", "attack", "Attack a running system, and see it withstand."),
    "manufacturer": Part(
        "fleet.claim_cli", "manufacturers", "Whose birth certificates (IDevID) are believed."
    ),
}


class Parts(TyperGroup):
    """The commands of PARTS, each made when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        del ctx
        return list(PARTS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and make one; None when there is no such part."""
        del ctx
        part = PARTS.get(cmd_name)
        if part is None:
            return None
        found = getattr(import_module(part.module), part.name)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(cmd_name)(found)
        return typer.main.get_command(alone)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List them without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, part.help) for name, part in PARTS.items()])


app = typer.Typer(
    name="wardgate",
    cls=Parts,
    help="The gateway between the bedside and the hospital's core, and its fleet.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # noqa: PLC0415  # it reads mail headers; --help needs none

        typer.echo(f"wardgate {metadata.version('wardgate')}")
        raise typer.Exit


@app.callback()
def main(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say the version.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    """Every command has --help."""
    del version  # its callback has said it


def run() -> None:
    """Run the command line; the entry point of the distribution."""
    try:
        # Else Typer would end the process itself, and say what is wrong in four lines.
        code = app(prog_name="wardgate", standalone_mode=False)
    except typer.Abort:
        _say_misuse("given up")
        sys.exit(1)
    except typer.TyperException as error:
        _say_misuse(error.format_message())
        sys.exit(error.exit_code)
    except WardgateError as error:
        print(f"wardgate: {error}", file=sys.stderr)  # noqa: T201  # this is the terminal
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        print(f"wardgate: {words(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _say_misuse(message: str) -> None:
    """One line, unless it is the help that a group shows when no command is named."""
    if not message.startswith("Usage:"):
        message = f"wardgate: {' '.join(message.split())}"
    print(message, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    run()
