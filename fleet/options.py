"""What the fleet's commands share: options, and how they end.

Everything that a command needs is imported when it runs, so that ``--help`` stays fast. An error
is one line on standard error and exit code 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

PENDING_EXIT = 3
"""A call waits for a second operator."""
OFFICER = "security officer"
_SECOND = {"widen_policy": "data-protection or security officer"}
"""Who may agree, by kind, where it is not an OFFICER."""

Fleet = Annotated[
    str | None, typer.Option("--fleet", help="HOST:PORT of the service [env: WARDGATE_FLEET]")
]
Identity = Annotated[
    Path | None,
    typer.Option(
        "--identity", help="Directory of the operator's certificate [env: WARDGATE_IDENTITY]"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for machines")]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """An expected error becomes one line and exit code 2."""
    from gateway.domain.errors import WardgateError, words  # noqa: PLC0415  # late, see above

    try:
        yield
    except (WardgateError, OSError) as error:
        typer.echo(f"wardgate: {words(error)}", err=True)
        raise typer.Exit(2) from error


def leave_if_pending(done: Any, *, as_json: bool) -> None:
    """End a command whose call waits for a second operator, with exit code 3."""
    from fleet import tables  # noqa: PLC0415

    if not done.HasField("pending"):
        return
    pending = done.pending
    if as_json:
        typer.echo(tables.as_json(done))
    else:
        typer.echo(
            f"nothing is done yet: request {pending.approval_id} ({pending.kind}) waits until"
            f" {tables.day(pending.expires_us)} for a second {_SECOND.get(pending.kind, OFFICER)}"
            f" (wardgate approval approve {pending.approval_id})"
        )
    raise typer.Exit(PENDING_EXIT)
