"""Runs nft(8): checks, applies, and reads what is in force."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.domain.errors import WardgateError

TIMEOUT_S = 20.0
OUTPUT_BYTES_MAX = 4 << 20


class PacketFilterError(WardgateError):
    """nft refuses, is missing, or says what we don't understand."""

    reason = "packet_filter"


class Count(NamedTuple):
    """One counter."""

    packets: int
    bytes: int


class InForce(NamedTuple):
    """What the kernel has of a table."""

    rules: int
    counters: Mapping[str, Count]


def check(script: str) -> None:
    """Whether the kernel would take a script; tried in a network namespace of its own.

    Raises:
        PacketFilterError: it wouldn't, with nft's words.
    """
    new = ["--net"] if os.geteuid() == 0 else ["--net", "--map-root-user"]
    _run([_command("unshare"), *new, _command("nft"), "--check", "--file", "-"], script)


def apply(script: str) -> None:
    """Put a script in force, all of it or nothing.

    Raises:
        PacketFilterError: nothing changed.
    """
    _run([_command("nft"), "--file", "-"], script)


def in_force(table: str) -> InForce:
    """What the kernel has of a table.

    Raises:
        PacketFilterError: there is no such table, or nft speaks otherwise than we know.
    """
    said = _run([_command("nft"), "--json", "list", "table", "inet", table], "")
    try:
        found = json.loads(said[:OUTPUT_BYTES_MAX])["nftables"]
        rules = sum("rule" in each for each in found)
        counters = {
            counter["name"]: Count(int(counter["packets"]), int(counter["bytes"]))
            for counter in (each["counter"] for each in found if "counter" in each)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise PacketFilterError(f"nft says of table {table} what is not understood") from error
    return InForce(rules, counters)


def remove(table: str) -> None:
    """Take a table away, if it is there.

    Raises:
        PacketFilterError: it can't be.
    """
    _run([_command("nft"), "--file", "-"], f"add table inet {table}\ndelete table inet {table}\n")


def _command(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None:
        raise PacketFilterError(f"{name} is not installed")
    return found


def _run(command: Sequence[str], script: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # fixed commands; the script is made by us
            command, input=script, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PacketFilterError(f"{command[0]}: {error}") from error
    if done.returncode:
        words = " ".join(done.stderr.split())[:400]
        raise PacketFilterError(f"nft refuses: {words or done.returncode}")
    return done.stdout
