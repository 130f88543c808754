"""The contexts of one identity that are in force."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import NamedTuple

from OpenSSL import SSL

from gateway.domain.ports import Clock
from security.files import TlsFiles
from security.tls.contexts import client_context, server_context
from security.tls.dtls import dtls_server_context
from security.tls.material import leaf


class _Built(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext
    dtls_server: SSL.Context
    not_after: float


class TlsContexts:
    """The current contexts of one identity, swapped together when its files change.

    Its bound methods fit ``Ports.server_tls``, ``server_dtls`` and ``client_tls``.
    """

    def __init__(
        self, files: TlsFiles, clock: Clock, checks_time: Callable[[], bool] = lambda: True
    ) -> None:
        """Build all contexts; ``checks_time`` is asked whether the wall clock counts.

        Raises:
            ConfigError: as :func:`server_context`.
        """
        self.files = files
        self._clock = clock
        self._checks_time = checks_time
        self._built = self._build()

    def server(self) -> ssl.SSLContext:
        """For a new connection to a listener of ours."""
        return self._built.server

    def client(self) -> ssl.SSLContext:
        """For a new connection of ours."""
        return self._built.client

    def dtls_server(self) -> SSL.Context:
        """For a new DTLS listener state; another object after each reload."""
        return self._built.dtls_server

    def reload(self) -> None:
        """Build anew from the files; contexts handed out before stay usable.

        Raises:
            ConfigError: the files can't be used, and the present contexts stay in force.
        """
        self.renewal()()

    def renewal(self) -> Callable[[], None]:
        """Build anew from the files; calling what is returned puts the contexts in force.

        Raises:
            ConfigError: the files can't be used.
        """
        built = self._build()

        def apply() -> None:
            self._built = built

        return apply

    def certificate_seconds_left(self) -> float:
        """Until the certificate in force ends; negative afterwards."""
        return self._built.not_after - self._clock.now_us() / 1e6

    def _build(self) -> _Built:
        files, check_time = self.files.pinned(), self._checks_time()
        return _Built(
            server=server_context(files, check_time=check_time),
            client=client_context(files, check_time=check_time),
            dtls_server=dtls_server_context(files, check_time=check_time),
            not_after=leaf(files.cert).not_valid_after_utc.timestamp(),
        )
