"""TOML files -> frozen structs: unknown keys refused with their path, relative paths resolved.

A field of type ``Path`` is taken relative to the file that names it; ``credential:NAME`` names a
credential that systemd passed (LoadCredential=), or, to whom it passed none, ``secrets/NAME``
beside the file. Secrets are such files, never values.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import ConfigError

T = TypeVar("T")


def load(path: Path, into: type[T]) -> T:
    """Read and check a configuration file.

    Raises:
        ConfigError: it can't be read, or a key is unknown, missing or of the wrong type; the
            message names file and key.
    """
    return convert(decode(read(path), str(path)), into, base=path.resolve().parent, where=str(path))


def read(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def decode(document: bytes, where: str) -> dict[str, Any]:
    """The tables of a TOML document.

    Raises:
        ConfigError: it is none; names ``where``.
    """
    try:
        raw: dict[str, Any] = msgspec.toml.decode(document)
    except UNDECODABLE as error:
        raise ConfigError(f"{where}: not TOML: {error}") from error
    return raw


def convert(raw: Any, into: type[T], *, base: Path, where: str) -> T:
    """Check a decoded table; see :func:`load`."""

    def hook(kind: type, value: Any) -> Any:
        if kind is Path and isinstance(value, str):
            return resolve(value, base)
        raise NotImplementedError(kind)

    try:
        return msgspec.convert(raw, into, strict=True, dec_hook=hook)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error


def resolve(value: str, base: Path) -> Path:
    """A path from a file; ``credential:NAME`` names a systemd credential.

    Raises:
        ValueError: it begins at the home of somebody whom nobody knows.
    """
    if value.startswith("credential:"):
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        # A person's command beside the service: nobody passes it anything.
        return Path(directory or base / "secrets") / value.removeprefix("credential:")
    try:
        return base / Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{value!r}: there is no such home directory") from error


def address(text: str, key: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[v6]:port``.

    Raises:
        ConfigError: it is neither; names ``key``.
    """
    host, colon, port = text.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if not colon or not host or not is_port:
        raise ConfigError(f"{key}: {text!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)
