"""Which signed policy is in force here: from a file that was carried, or from the fleet.

Rules:

* A bundle counts if its signature, its number (:mod:`security.policybook`), its text and its
  invariants are right for this gateway's destinations. Otherwise the one in force stays; at a start
  without one, nothing leaves and collecting goes on.
* Of the file's and the one that was kept the newer counts. A file that was not touched and is older
  is no error: the fleet has gone on. One that was put there and is older is refused.
* One in force whose signer becomes void is in force no more, at once; one that is signed anew, from
  the file or the fleet, takes its place.
* A new bundle must have been proved with this software's schema; the one in force outlives an
  upgrade if it is still right.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from gateway import tomlfile
from gateway.config import GatewayConfig
from gateway.domain.errors import ConfigError, WardgateError
from gateway.domain.labels import Zone
from security.pki import load_certificates
from security.policy import Invariant, PolicyError, PolicyTable, Proof, read_invariants
from security.policybook import PolicyBook, read_file
from security.policybundle import Verified, schema_sha256
from security.policyjudge import judge

log = logging.getLogger(__name__)

REASON_CHARS_MAX = 300
"""Of a refusal, for the fleet and the audit log."""


class Chosen(NamedTuple):
    """A bundle that may be put in force, or stay."""

    found: Verified
    table: PolicyTable
    unproved: tuple[str, ...]
    """Destinations that it says nothing about: they get nothing."""
    proof: Proof


class Brought(NamedTuple):
    """A bundle that the fleet has sent."""

    number: int
    """As the fleet says; what counts is the bundle's own."""
    encoded: bytes


class Refused(NamedTuple):
    """The last bundle that was not taken."""

    number: int
    """0 when not even that can be believed."""
    reason: str


NONE_REFUSED = Refused(0, "")
NONE_BROUGHT = ConfigError(
    "no policy has been brought here: name a signed one in [policy] file, or let the fleet"
)


def policy_book(
    config: GatewayConfig, void: Callable[[], AbstractSet[int]] = frozenset
) -> PolicyBook:
    """The gateway's book, as it lies in its state."""
    return PolicyBook(
        config.gateway.state_dir,
        lambda: load_certificates(config.tls.files.trust),
        config.identity.trust_domain,
        config.gateway.name,
        void,
    )


class Policies:
    """Chooses; who puts in force calls :meth:`keep` before and :meth:`applied` after."""

    def __init__(self, book: PolicyBook) -> None:
        self._book = book
        self._seen: Verified | None = None
        """What the file had when it was looked at last."""
        self.in_force: Chosen | None = None
        self.refused = NONE_REFUSED
        self.refusals = 0
        """Since the start."""

    @property
    def age_order(self) -> tuple[int, int]:
        """Number and time of issue of the one in force; zeros for none."""
        return self.in_force.found.bundle.age_order if self.in_force else (0, 0)

    def first(
        self, config: GatewayConfig, fits: Callable[[Chosen], None] = lambda _chosen: None
    ) -> Chosen | None:
        """At a start: the newest that is right; None where none was ever brought here.

        ``fits`` raises where the exit can't do what a policy asks for.

        Raises:
            WardgateError: there are some, and none is right; says why of the last one.
        """
        found, trouble = self._brought(config)
        chosen: Chosen | None = None
        for each in found:
            try:
                judged = self._judged(each, config)
                fits(judged)
                chosen = judged
                break
            except WardgateError as error:
                trouble = _told(error)
        if trouble is not None:
            self.refused = Refused(0, _words(trouble))
            if chosen is None:
                raise trouble
        return chosen

    def newest(self, config: GatewayConfig) -> Verified:
        """The newest that was brought here and is as signed, whatever it says.

        Raises:
            WardgateError: there is none.
        """
        found, trouble = self._brought(config)
        if not found:
            raise trouble or NONE_BROUGHT
        return found[0]

    def _brought(self, config: GatewayConfig) -> tuple[list[Verified], WardgateError | None]:
        """What is here, the newest first, and the last trouble that was met."""
        found: list[Verified] = []
        trouble: WardgateError | None = None
        try:
            found += filter(None, (self._book.kept(),))
        except WardgateError as error:
            trouble = _told(error)
        if config.policy.file is not None:
            try:
                self._seen = self._carried(config.policy.file)
                found.append(self._seen)
            except WardgateError as error:
                trouble = _told(error)
        found.sort(key=lambda one: one.bundle.age_order, reverse=True)
        return found, trouble

    def chosen(self, config: GatewayConfig) -> Chosen | None:
        """For a changed configuration or file: what is in force, or a newer one in the file.

        Raises:
            WardgateError: neither is right for it.
        """
        if self.in_force is None:
            return self._first_again(config)
        found = self.in_force.found
        if config.policy.file is not None and not self._is_untouched(config.policy.file, found):
            carried = self._carried(config.policy.file)
            self._book.check_age(carried)
            self._seen = carried
            if carried.bundle.age_order > found.bundle.age_order:
                found = carried
        return self._judged(found, config)

    def _is_untouched(self, path: Path, present: Verified) -> bool:
        """Whether a file is as it was, and not newer than what is in force."""
        seen = self._seen
        return (
            seen is not None
            and seen.bundle.age_order <= present.bundle.age_order
            and read_file(path) == seen.encoded
        )

    def _first_again(self, config: GatewayConfig) -> Chosen | None:
        """As at a start; what was kept and is not right keeps no configuration away."""
        try:
            return self.first(config)
        except WardgateError:
            if config.policy.file is not None:
                raise
            return None

    def offered(self, encoded: bytes, config: GatewayConfig) -> Chosen | None:
        """One that the fleet has sent; None when it is in force already.

        Raises:
            WardgateError: it is refused.
        """
        found = self._book.verify(encoded)
        self._book.check_age(found)
        if found.bundle.age_order <= self.age_order:
            return None
        return self._judged(found, config)

    def check_signer(self) -> None:
        """Whether who signed the one in force still may.

        Raises:
            RefusedError: ``untrusted``; it must not stay in force.
        """
        if self.in_force is not None:
            self._book.check_signer(self.in_force.found)

    def withdrawn(self) -> None:
        """None is in force any more."""
        self.in_force = None

    def keep(self, chosen: Chosen) -> None:
        """Make it outlive a restart; blocks.

        Raises:
            OSError: it can't be written.
        """
        self._book.save(chosen.found)

    def applied(self, chosen: Chosen) -> None:
        """It is in force."""
        self.in_force = chosen
        if 0 < self.refused.number <= chosen.found.bundle.number:
            self.refused = NONE_REFUSED

    def refuse(self, number: int, error: Exception) -> str:
        """Note why one was not taken; returns it in words."""
        self.refused = Refused(number, _words(error))
        self.refusals += 1
        return self.refused.reason

    def _carried(self, path: Path) -> Verified:
        """What the file has, of whatever age."""
        encoded = read_file(path)
        try:
            found = self._book.verify(encoded)
        except WardgateError as error:
            why = getattr(error, "detail", "") or error
            raise PolicyError(f"{path}: {why}") from error
        if not self.refused.number:
            self.refused = NONE_REFUSED
        return found

    def _judged(self, found: Verified, config: GatewayConfig) -> Chosen:
        bundle = found.bundle
        self._book.check_age(found)
        if bundle.number > self._book.reached().number and bundle.schema_sha256 != schema_sha256():
            raise PolicyError(
                f"policy {bundle.number} was proved with another schema: sign it with this version"
            )
        own = config.receivers
        try:
            judged = judge(bundle, own, local_invariants(config))
        except PolicyError as error:
            raise PolicyError(f"policy {bundle.number}: {error}") from error
        # What stands in the ward is told alarms by default (gateway/notification/releasing.py).
        told = {each.name for each in config.notification.outlets if each.zone is Zone.WARD}
        unproved = tuple(
            each.name for each in own if each not in judged.destinations and each.name not in told
        )
        return Chosen(found, judged.table, unproved, judged.proof)


def local_invariants(config: GatewayConfig) -> tuple[Invariant, ...]:
    """What must hold at this gateway besides what was signed with a policy.

    Raises:
        ConfigError: the file can't be read.
        PolicyError: it holds no invariants.
    """
    return invariants_of(config.policy.invariants) if config.policy.invariants else ()


def invariants_of(file: Path) -> tuple[Invariant, ...]:
    """The invariants of a file; raises as :func:`local_invariants`."""
    document = tomlfile.read(file)
    try:
        return read_invariants(document)
    except PolicyError as error:
        raise PolicyError(f"{file}: {error}") from error


def _told(error: WardgateError) -> WardgateError:
    log.error("a policy is refused: %s", error)
    return error


def _words(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:REASON_CHARS_MAX]
