"""``wardgate gateway apply-revocations``: a list of revocations that was carried here by hand.

Rules:

* It is verified as if the fleet had sent it: the issuing CA's word below our roots, and never an
  older one than the gateway has.
* It is on disk, durably, before the running gateway is told by SIGHUP; a gateway that starts
  meanwhile reads it by itself, for it takes its journal first and looks for a list then.
"""

from __future__ import annotations

import os
import signal
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from gateway.config import GatewayConfig
from gateway.domain.errors import ConfigError
from gateway.domain.ports import Clock
from gateway.fleetlink import REVOCATIONS_FILE
from gateway.journal.lock import holder
from security.pki import load_certificates
from security.revocations import RevocationBook, RevocationList
from security.revocations_in_force import put_on_disk


class Told(Enum):
    """Who knows of it."""

    RUNNING = auto()
    """The gateway's process was told."""
    NONE_RUNS = auto()
    """It counts from the next start."""
    UNKNOWN = auto()
    """A gateway runs, and its process is not known, or not ours to tell."""


class Applied(NamedTuple):
    """What became of a list."""

    current: RevocationList
    newer: bool
    """Whether it differs from what was on disk before."""
    told: Told


def revocation_book(config: GatewayConfig, clock: Clock) -> RevocationBook:
    """The gateway's list of revocations, as it lies in its state; not loaded yet."""
    return RevocationBook(
        config.gateway.state_dir / REVOCATIONS_FILE,
        lambda: load_certificates(config.tls.files.trust),
        config.identity.trust_domain,
        clock,
    )


def apply(config: GatewayConfig, path: Path, clock: Clock) -> Applied:
    """Put a signed list in force at this gateway; blocks.

    Raises:
        MalformedError: it is no list, or damaged.
        RefusedError: ``untrusted``: not our authority's, or older than the one in force.
        ConfigError: the gateway has no state yet, or its roots can't be read.
        OSError: the list can't be read or kept.
    """
    state = config.gateway.state_dir
    if not state.is_dir():
        raise ConfigError(f"{state}: no such directory; has the gateway ever run?")
    book = revocation_book(config, clock)
    newer = put_on_disk(book, path)
    return Applied(book.current, newer, tell(state))


def tell(state: Path) -> Told:
    """SIGHUP to the gateway that runs on a state directory."""
    process = holder(state / "journal")
    if process is None:
        return Told.NONE_RUNS
    if not process:
        return Told.UNKNOWN
    try:
        os.kill(process, signal.SIGHUP)
    except (PermissionError, ProcessLookupError):
        return Told.UNKNOWN
    return Told.RUNNING
