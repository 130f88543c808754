"""What is attacked, and with whose keys: the endpoints file, as the demo writes it."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import ConfigError


class Address(msgspec.Struct, frozen=True):
    """A listener."""

    host: str
    port: int


class KeyPair(msgspec.Struct, frozen=True):
    """A certificate (leaf, then issuers) and its key, PEM."""

    cert: Path
    key: Path


class Holder(KeyPair, frozen=True):
    """A device's key pair."""

    device_id: str


class Target(msgspec.Struct, frozen=True):
    """Everything that the attacks need; what is optional switches its attacks off."""

    mqtt: Address
    coaps: Address
    ca: Path
    spare: Holder
    """A good device that nobody misses: its key is the compromised one."""
    neighbour: Holder
    """A good device that must not notice."""
    stranger: Holder
    """Of another authority."""
    revoked: Holder
    expired: Holder
    other_topic: str
    other_coap_path: str
    fleet: Address | None = None
    est: Address | None = None
    core: Address | None = None
    metrics: dict[str, str] = {}
    insiders: dict[str, KeyPair] = {}
    """``gateway``, ``service`` and ``operator``: good certificates in the wrong place."""
    core_db: Path | None = None

    @property
    def other_device(self) -> str:
        """Whom the spare must not be able to speak for."""
        return self.other_topic.split("/")[1]


def load(path: Path) -> Target:
    """Read an endpoints file; relative paths are taken from where it lies.

    Raises:
        ConfigError: unreadable, not JSON, or something is missing.
    """
    base = path.resolve().parent

    def hook(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str):
            return base / value
        raise NotImplementedError(kind)

    try:
        return msgspec.json.decode(path.read_bytes(), type=Target, dec_hook=hook)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; is the demo running?") from error
    except UNDECODABLE as error:
        raise ConfigError(f"{path}: {error}") from error


class Reports:
    """Payloads with message ids that can be found again at the core."""

    def __init__(self, mark: str) -> None:
        """Begin a series; ``mark`` begins its name."""
        self.boot = f"{mark}{secrets.token_hex(6)}"
        self.sent = 0

    def next(self, **changed: Any) -> bytes:
        """The next report; ``changed`` replaces fields."""
        self.sent += 1
        now_ms = time.time_ns() // 1_000_000
        fields = {"v": 1, "boot": self.boot, "n": self.sent, "t": now_ms, "hr": 72.0}
        return msgspec.json.encode({**fields, **changed})

    @property
    def last_id(self) -> str:
        """The message id of the newest."""
        return f"{self.boot}:{self.sent}"
