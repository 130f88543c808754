"""A policy that could be signed: judged for each gateway, compared with what is in force there.

Pure; a proof takes a second, so not to be called on a loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from fleet.policy_store import GatewayPolicyRow, info_of
from fleet.store import PreconditionError
from gateway.domain.errors import MalformedError, RefusedError
from gateway.domain.labels import DestinationInfo
from security.policy import PolicyError
from security.policybundle import Bundle, schema_sha256
from security.policyjudge import Judged, judge, widened, words_of

JUDGED_MAX: Final = 64
"""Judgements in memory: of a policy and those before it, for some kinds of gateways."""
OTHER_INVARIANTS: Final = "the invariants are others"


class Target(NamedTuple):
    """A gateway that a policy is for."""

    gateway: str
    compared_with: int
    destinations: tuple[DestinationInfo, ...]
    widened: tuple[str, ...]


class Draft(NamedTuple):
    """A policy that could be signed."""

    text: str
    invariants: str
    targets: tuple[Target, ...]

    @property
    def widens(self) -> bool:
        return any(target.widened for target in self.targets)

    @property
    def parameters(self) -> Mapping[str, str | Sequence[str]]:
        """What a second person is shown, and agrees to."""
        return {
            "policy": self.text,
            "invariants": self.invariants,
            "gateways": [target.gateway for target in self.targets],
            "compared_with": [f"{each.gateway}: {each.compared_with}" for each in self.targets],
            "destinations": [
                f"{target.gateway}: {name} (zone {zone}, purpose {purpose}, tenant {tenant})"
                for target in self.targets
                for name, zone, purpose, tenant in target.destinations
            ],
            "widens": [
                f"{target.gateway}: {words}" for target in self.targets for words in target.widened
            ],
        }


def target_of(draft: Bundle, row: GatewayPolicyRow, before: Sequence[Bundle | None]) -> Target:
    """Judge for one gateway, and compare.

    Raises:
        MalformedError: ``policy``: it is refused.
        PreconditionError: the gateway judges by another schema.
    """
    if row.facts.schema_sha256 != schema_sha256():
        raise PreconditionError(
            f"{row.gateway} judges by another schema than this fleet: bring both to one version"
        )
    try:
        own = tuple(sorted(info_of(each) for each in row.facts.destinations))
        after = judged(draft.policy, draft.invariants, own, own)
    except (PolicyError, RefusedError, ValueError) as error:
        raise MalformedError("policy", f"for {row.gateway}: {error}") from error
    words: dict[str, None] = {}
    for bundle in before:
        if bundle is not None and bundle.invariants != draft.invariants:
            words[OTHER_INVARIANTS] = None
        words.update(dict.fromkeys(map(words_of, widened(_as_was(bundle, own), after))))
    return Target(row.gateway, row.facts.number, own, tuple(words))


@lru_cache(maxsize=JUDGED_MAX)
def judged(
    policy: str,
    invariants: str,
    proved: tuple[DestinationInfo, ...] | None,
    own: tuple[DestinationInfo, ...],
) -> Judged:
    """As :func:`judge`; a proof takes a second, and most gateways have the same destinations."""
    return judge(Bundle(1, 0, policy, invariants, "", destinations=proved), own)


def _as_was(bundle: Bundle | None, own: tuple[DestinationInfo, ...]) -> Judged | None:
    """What was in force, as it would be judged now; None: nothing that could be compared with."""
    if bundle is None:
        return None
    try:
        return judged(bundle.policy, bundle.invariants, bundle.destinations, own)
    except (PolicyError, RefusedError):
        return None
