"""``wardgate``: the command line of every part.

Bad input ends in one line that says what is wrong and what to do, and exit code 2; never in a
traceback. The parts' command modules import their work late, so that ``--help`` stays quick.
"""

from __future__ import annotations

import sys

import typer

import core.cli
import fleet.claim_cli
import fleet.cli
import fleet.device_cli
import gateway.cli
from gateway.domain.errors import WardgateError, words

app = typer.Typer(
    name="wardgate",
    help="The gateway between the bedside and the hospital's core, and its fleet.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(gateway.cli.gateway_app, name="gateway")
app.add_typer(gateway.cli.policy_app, name="policy")
app.add_typer(core.cli.app, name="core")
app.add_typer(fleet.cli.app, name="fleet")
app.add_typer(fleet.device_cli.app, name="device")
app.add_typer(fleet.claim_cli.claims, name="claim")
app.add_typer(fleet.claim_cli.manufacturers, name="manufacturer")
app.command("doctor")(gateway.cli.doctor)


@app.callback()
def main() -> None:
    """Every command has --help."""


def run() -> None:
    """Run the command line; the entry point of the distribution."""
    try:
        app()
    except WardgateError as error:
        print(f"wardgate: {error}", file=sys.stderr)  # noqa: T201  # this is the terminal
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        print(f"wardgate: {words(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


if __name__ == "__main__":
    run()
