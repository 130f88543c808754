"""Signing a policy on the fleet's own host: for a site's first, and for gateways without a link.

Nobody is asked here: whoever rules this host holds the issuing key anyway. So it is audited with
the authority, and shows in ``policy list`` as the host's. Works while the service runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from fleet.ceremony import auditing
from fleet.config import FleetConfig
from fleet.policy_store import EVERY, BundleRow, PolicyRow, PolicyStore
from fleet.store import NotKnownError, Store
from gateway import tomlfile
from gateway.domain.errors import ConfigError
from gateway.domain.labels import DestinationInfo, Zone
from gateway.domain.ports import Clock
from security.policy import default_invariants
from security.policybundle import Bundle, sign_bundle
from security.policyjudge import judge


class _Gateway(msgspec.Struct, frozen=True):
    name: str


class _Destination(msgspec.Struct, frozen=True):
    name: str
    zone: Zone
    purpose: str
    tenant: str


class _File(msgspec.Struct, frozen=True):
    """What concerns a policy of a ``gateway.toml``."""

    gateway: _Gateway
    destinations: tuple[_Destination, ...] = ()


class Whose(NamedTuple):
    """Whose a policy is to be."""

    gateway: str = EVERY
    destinations: tuple[DestinationInfo, ...] | None = None
    tenant: str = ""


EVERYBODY: Final = Whose()


def whose(path: Path) -> Whose:
    """The gateway of a ``gateway.toml``, with its destinations.

    Raises:
        ConfigError: it can't be read, or is none.
    """
    raw = tomlfile.decode(tomlfile.read(path), str(path))
    try:
        found = msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
    destinations = (
        DestinationInfo(each.name, each.zone, each.purpose, each.tenant)
        for each in found.destinations
    )
    return Whose(found.gateway.name, tuple(sorted(destinations)))


def sign(  # what is signed, and by whom
    config: FleetConfig,
    text: str,
    invariants: str,
    whom: Whose,
    clock: Clock,
    number: int = 0,
) -> tuple[Bundle, bytes]:
    """Sign a policy and note it; a gateway that is named is to have it.

    Returns what was signed, and encoded, to be carried.

    Args:
        config: of the fleet on this host.
        text: Cedar.
        invariants: what must hold, as TOML; empty: what is shipped.
        whom: whose it is to be.
        clock: for the time of issue.
        number: 0 for the next one. The last one again, with the same substance, signs it anew.

    Raises:
        PolicyError: it is refused; the message has the counter-example.
        PreconditionError: the number is not greater than all before.
        ConfigError: no authority or store is there.
    """
    invariants = invariants if invariants.strip() else default_invariants().decode()
    authority = config.load_site().list_signer
    now_us = clock.now_us()
    bundle = Bundle(
        number or 1,
        now_us,
        text,
        invariants,
        authority.trust_domain,
        whom.gateway,
        whom.tenant,
        whom.destinations,
    )
    judge(bundle, whom.destinations or ())
    config.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store.open(config.database, clock.now_us)
    try:
        kept = PolicyStore(store)
        with store.transaction():
            bundle = bundle._replace(number=number or kept.next_number())
            encoded = sign_bundle(authority, bundle)
            row = BundleRow(
                bundle.number, whom.gateway, 0, whom.destinations, (), now_us, authority.id, encoded
            )
            if _is_again(kept, bundle):
                kept.put_bundle(row)
            else:
                kept.put(PolicyRow(bundle.number, text, invariants, now_us, "", ""), [row])
            if whom.gateway:
                kept.want((whom.gateway,), bundle.number)
    finally:
        store.close()
    with auditing(config.authority, clock) as audit:
        audit.record("policy_signed", number=bundle.number, gateway=whom.gateway or "every")
    return bundle, encoded


def _is_again(kept: PolicyStore, bundle: Bundle) -> bool:
    """Whether this is the last one, signed anew."""
    if bundle.number != kept.last_number():
        return False
    try:
        policy, row = kept.policy(bundle.number), kept.bundle(bundle.number, bundle.gateway)
    except NotKnownError:
        return False
    return (
        row is not None
        and (policy.text, policy.invariants) == (bundle.policy, bundle.invariants)
        and (row.gateway, row.destinations) == (bundle.gateway, bundle.destinations)
    )
