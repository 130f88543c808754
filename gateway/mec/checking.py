"""Whether what a platform or an operator's network is called with can be used, before a start."""

from __future__ import annotations

from pathlib import Path

from gateway.domain.errors import ConfigError
from gateway.mec.config import MecConfig, TokenTable
from gateway.networkapi.config import NetworkApisConfig
from security.files import TlsFiles, read_secret
from security.tls import client_context


def check_platform(config: MecConfig, own: TlsFiles) -> None:
    """Read what calls to the platform need.

    Raises:
        ConfigError: it can't be used; names the key.
    """
    ours = TlsFiles(config.cert or own.cert, config.key or own.key, config.trust or own.trust)
    _check("mec", ours, config.token, config.trust, plain=config.plain)


def check_network(config: NetworkApisConfig, own: TlsFiles) -> None:
    """Read what calls to the operator's network need.

    Raises:
        ConfigError: it can't be used; names the key.
    """
    theirs = own._replace(trust=config.trust or own.trust)
    _check("network_apis", theirs, config.token, config.trust, plain=config.plain)


def _check(
    table: str, files: TlsFiles, token: TokenTable | None, trust: Path | None, *, plain: bool
) -> None:
    if token is not None:
        try:
            secret = read_secret(token.secret).decode().strip()
        except (ConfigError, UnicodeDecodeError) as error:
            raise ConfigError(f"{table}.token.secret: {error}") from error
        if not secret:
            raise ConfigError(f"{table}.token.secret: {token.secret} is empty")
    if plain:
        return
    try:
        client_context(files)
    except ConfigError as error:
        raise ConfigError(f"{table}.trust: {error}" if trust else f"{table}: {error}") from error
