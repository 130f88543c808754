"""Whether an outlet's files can be used, before it is put in force."""

from __future__ import annotations

from gateway.domain.errors import ConfigError
from gateway.notification.config import Outlet, WebhookOutlet
from gateway.notification.releasing import pseudonyms_of
from security.files import TlsFiles, read_secret
from security.tls import https_context


def check_outlet(outlet: Outlet, own: TlsFiles) -> None:
    """Read what an outlet needs.

    Raises:
        WardgateError: it can't be used; names the outlet.
    """
    try:
        pseudonyms_of(outlet, read_secret)
        if isinstance(outlet, WebhookOutlet):
            files = outlet.files(own)
            https_context(files, shows_certificate=outlet.bearer is None)
            if outlet.bearer is not None:
                from gateway.notification.outlets.webhook import bearer  # noqa: PLC0415

                bearer(read_secret(outlet.bearer))
    except (ConfigError, OSError) as error:
        raise ConfigError(f"outlet {outlet.name}: {error}") from error
