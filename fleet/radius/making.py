"""What FreeRADIUS is told, out of the registry: certificates, bindings, authorities, lists."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

from cryptography import x509

from fleet.radius.config import RadiusTable
from fleet.radius.raddb import Entry, Facts, Identity
from fleet.radius.trust import trust_files
from fleet.registry import Registry
from fleet.store import CredentialRow, Store
from gateway.domain.devices import Standing
from gateway.domain.errors import ConfigError
from gateway.domain.ports import Clock
from security import pki
from security.files import read_secret
from security.names import Role
from security.pki import Authority, crl

SERVES: Final = frozenset({Standing.EXPECTED, Standing.ENROLLED, Standing.ACTIVE})
FRESH_SHARE: Final = 4
"""A list is made anew when a quarter of its time has passed."""
ENDED_KEPT_US: Final = 86_400_000_000
"""A revoked certificate stays on the list for a day after its end."""
_SECRET_CHARS: Final = frozenset(map(chr, range(0x21, 0x7F))) - set("\"'\\$%{}#`")
"""What FreeRADIUS takes literally between quotation marks."""

log = logging.getLogger(__name__)


class _List(NamedTuple):
    der: bytes
    revoked: frozenset[int]
    built_us: int


class Maker:
    """Makes the facts; keeps lists of revocations while they are fresh."""

    def __init__(self, table: RadiusTable, store: Store, registry: Registry, clock: Clock) -> None:
        self._table = table
        self._store = store
        self._registry = registry
        self._clock = clock
        self._lists: dict[str, _List] = {}

    async def facts(self) -> Facts:
        """Everything as it is now.

        Raises:
            ConfigError: a client's secret, or the EAP server's identity, can't be used.
            TokenError: an authority's key is away.
        """
        secrets = await asyncio.to_thread(read_secrets, self._table)
        rows = await self._registry.run(self._store.all_credentials)
        lists = {each.certificate: await self._list(each) for each in self._registry.signers}
        return Facts(
            self._registry.trust_domain,
            tuple(sorted(self._entries(rows))),
            trust_files(self._trusted(), lists),
            secrets,
            await asyncio.to_thread(read_identity, self._table),
        )

    def _entries(self, rows: Iterable[CredentialRow]) -> Iterable[Entry]:
        now_us = self._clock.now_us()
        for row in rows:
            if row.role is not Role.DEVICE or row.revoked_us or row.not_after_us <= now_us:
                continue
            device = self._registry.devices.get(row.id)
            if device is None or device.standing not in SERVES or not device.network.supi:
                continue
            yield Entry(row.serial, row.id, device.network)

    def _trusted(self) -> list[x509.Certificate]:
        found = []
        for each in self._registry.signers:
            found += [each.certificate, each.root, *each.cross, *each.trust]
        return found

    async def _list(self, authority: Authority) -> bytes:
        now_us = self._clock.now_us()
        present = self._lists.get(authority.id)
        life = timedelta(hours=self._table.crl_hours)
        rows = await self._registry.run(self._rows, authority.id, now_us)
        revoked = frozenset(row.serial for row in rows)
        age_us = now_us - present.built_us if present else 0
        if (
            present is not None
            and present.revoked == revoked
            and 0 <= age_us < life.total_seconds() * 1e6 / FRESH_SHARE
        ):
            return present.der
        now = pki.moment(now_us)
        number = await self._registry.run(self._number)
        entries = [
            crl.Revoked(row.serial, pki.moment(row.revoked_us), crl.Reason.of(row.revoked_reason))
            for row in rows
        ]
        der = await asyncio.to_thread(crl.build, authority, number, entries, now, now + life)
        self._lists[authority.id] = _List(der, revoked, now_us)
        return der

    def _number(self) -> int:
        """The next list's, counted with those that the fleet hands out; on the store's thread."""
        with self._store.transaction():
            return self._store.grow("crl")

    def _rows(self, authority: str, now_us: int) -> list[CredentialRow]:
        """A list's content; on the store's thread."""
        rows = self._store.revoked_credentials(now_us - ENDED_KEPT_US)
        return [row for row in rows if row.issuer in {"", authority}]


def read_identity(table: RadiusTable) -> Identity:
    """The EAP server's certificate and key, of one issue.

    Raises:
        ConfigError: they can't be read, or the key may be read by others.
    """
    files = table.identity.pinned()
    return Identity(pki.to_pem(*pki.load_certificates(files.cert)), read_secret(files.key))


def read_secrets(table: RadiusTable) -> dict[str, str]:
    """Each client's secret.

    Raises:
        ConfigError: one can't be read, or has characters that FreeRADIUS would not take literally.
    """
    found = {}
    for name, client in table.clients.items():
        text = read_secret(client.secret).decode("latin-1").strip()
        if not text or not _SECRET_CHARS.issuperset(text):
            raise ConfigError(
                f"radius.clients.{name}: the secret is empty, or has blanks, quotation marks or"
                " other characters that FreeRADIUS does not take literally"
            )
        found[name] = text
    return found
