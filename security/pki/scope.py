"""What an issuing CA may name: its name constraints (RFC 5280, 4.2.1.10).

An issuing CA may name one trust domain, and, if the root said so, hosts below certain DNS names
only. So a site's issuing key, once stolen, is of no use against another site. The constraints are
critical. Addresses are not constrained: gRPC's TLS library refuses every chain that has such a
constraint (docs/decisions/0011-name-constraints.md).

The scope is read from the CA's certificate and is checked before anything is signed, too: a leaf
outside it would be refused by everybody.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from cryptography import x509

from security.names import is_trust_domain

HOSTS_MAX = 64
"""Names of one certificate, and permitted names of one issuing CA."""
HOST_CHARS_MAX = 253

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.IGNORECASE)
_NUMBERS = re.compile(r"[0-9.]*")


class Scope(NamedTuple):
    """What an issuing CA may name."""

    trust_domain: str
    dns: tuple[str, ...] = ()
    """Hosts with one of these names or below one; none given: all hosts."""

    def constraints(self) -> x509.NameConstraints:
        """The extension of the issuing CA's certificate.

        Raises:
            ValueError: not a trust domain, or not a host's name.
        """
        if not is_trust_domain(self.trust_domain):
            raise ValueError(f"not a trust domain: {self.trust_domain!r}")
        if len(self.dns) > HOSTS_MAX:
            raise ValueError(f"more than {HOSTS_MAX} permitted names")
        permitted: list[x509.GeneralName] = [x509.UniformResourceIdentifier(self.trust_domain)]
        permitted += [x509.DNSName(_name(each)) for each in self.dns]
        return x509.NameConstraints(permitted, excluded_subtrees=None)

    def host(self, host: str) -> x509.GeneralName:
        """An alternative name for a host's name or address.

        Raises:
            ValueError: neither a name nor an address, or outside this scope.
        """
        try:
            return x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = _name(host)
        if self.dns and not any(_below(name, each) for each in self.dns):
            raise ValueError(f"{host} is outside of what this authority may name")
        return x509.DNSName(name)


def scope_of(certificate: x509.Certificate, trust_domain: str) -> Scope:
    """What a CA may name, by its certificate."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return Scope(trust_domain)
    permitted = found.permitted_subtrees or []
    return Scope(
        trust_domain, tuple(each.value for each in permitted if isinstance(each, x509.DNSName))
    )


def is_within(trust_domain: str, outer: str) -> bool:
    """Whether a site's trust domain is its root's, or below it."""
    return trust_domain == outer or trust_domain.endswith(f".{outer}")


def _name(host: str) -> str:
    if len(host) > HOST_CHARS_MAX or not _HOST.fullmatch(host) or _NUMBERS.fullmatch(host):
        raise ValueError(f"neither a host's name nor an address: {host!r}")
    return host.lower()


def _below(name: str, permitted: str) -> bool:
    return name == permitted.lower() or name.endswith(f".{permitted.lower()}")
