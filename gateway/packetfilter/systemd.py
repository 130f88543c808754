"""What a gateway needs of the network, as limits of its unit."""

from __future__ import annotations

from gateway.packetfilter.openings import LOOPBACK, Openings

_RESOLVERS_BY_SOCKET = "-/run/systemd/resolve -/run/nscd -/run/dbus"
"""Where others resolve names for whoever asks: systemd-resolved, nscd, and the bus to the first."""


def drop_in(openings: Openings) -> str:
    """A drop-in: the unit's cgroup reaches loopback and what is open, and nothing else.

    Destinations are in it whether or not the policy releases anything to them: a unit's limits
    change only with a restart, the packet filter's at once. Where no name has to be resolved, the
    sockets of those who would resolve one are out of reach too.
    """
    found = {*LOOPBACK, *openings.ward}
    found.update(network for each in openings.outgoing for network in each.networks)
    lines = [f"IPAddressAllow={each}" for each in sorted(map(str, found))]
    if not openings.names:
        lines.append(f"InaccessiblePaths={_RESOLVERS_BY_SOCKET}")
    return "\n".join(["[Service]", "IPAddressDeny=any", *lines])
