"""``wardgate core erase | rewrap | words``: the keys of sensitive columns, by hand."""

from __future__ import annotations

import getpass
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.columns import Columns
    from core.config import CoreConfig

Config = Annotated[Path, typer.Option(help="Configuration file (TOML)")]
Device = Annotated[str, typer.Argument(help="The device's id, as it is stored")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines")]
ERASED = "(erased)"


def erase(
    device: Device,
    config: Config,
    reason: Annotated[str, typer.Option(help="Why: kept beside the keys")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it")] = False,
) -> None:
    """Destroy a device's key: its beds, places, badges and texts open never again.

    Its id and its numbers stay. Without --yes it only says what would go. A running core goes on
    with a new key.
    """
    from core.columns import PREFIX, sealed_words  # noqa: PLC0415
    from core.links import cut  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    with _opened(config) as (loaded, columns):
        key = next((each for each in columns.held() if each.device == device), None)
        if key is None:
            raise ConfigError(f"no key belongs to {device!r}: nothing of it is sealed, or no more")
        if not yes:
            mark = f"{PREFIX}{key.number}:"
            with _database(loaded.database) as db:
                found = [table for table, _, _, word in sealed_words(db, device) if mark in word]
            for table in sorted(set(found)):
                typer.echo(f"{table:<12} {found.count(table):>8,} words")
            typer.echo(f"nothing was erased: this is what --yes would, of key {key.number}")
            return
        if not reason.strip():
            raise ConfigError("--reason: say why; it is kept beside the keys")
        cut(loaded.database, device)
        columns.erase(device, getpass.getuser(), reason.strip())
    typer.echo(
        f"key {key.number} of {device} is destroyed. Copies of the file of keys from before open it"
        " still, for whoever has the hospital's key: wardgate core rewrap, and destroy the old one."
    )


def rewrap(config: Config) -> None:
    """Seal the devices' keys by the ring's newest key; then the older ones are needed no more.

    The core goes on meanwhile, and uses the ring as it is now.
    """
    with _opened(config) as (_, columns):
        moved = columns.rewrap()
        (active,) = columns.hospital_keys() or [0]
    typer.echo(f"{moved} keys sealed anew; all of them by the hospital's key {active or '(none)'}")


def words(device: Device, config: Config, as_json: AsJson = False) -> None:
    """Show what a device's sealed words say."""
    import json  # noqa: PLC0415

    from core.columns import sealed_words  # noqa: PLC0415
    from gateway.domain.errors import KeyErasedError  # noqa: PLC0415

    with _opened(config) as (loaded, columns), _database(loaded.database) as db:
        for table, column, at_us, stored in sealed_words(db, device):
            try:
                word = columns.open(device, column, stored)
            except KeyErasedError:
                word = ERASED
            if as_json:
                row = {"table": table, "column": column, "at_us": at_us, "word": word}
                typer.echo(json.dumps(row))
            else:
                typer.echo(f"{table:<10} {column:<12} {at_us:>17} {word}")


@contextmanager
def _opened(config: Path) -> Iterator[tuple[CoreConfig, Columns]]:
    from core.columns import columns_of  # noqa: PLC0415
    from core.config import load  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    loaded = load(config)
    try:
        columns = columns_of(loaded, SystemClock().now_us)
        if columns is None:
            raise ConfigError(f"{config}: store.seal_keys is not set: nothing is sealed")
        with closing(columns):
            yield loaded, columns
    except sqlite3.Error as error:
        raise ConfigError(f"{loaded.database}: {error}") from error


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    from core.tail import connect  # noqa: PLC0415

    with closing(connect(path)) as db:
        yield db
