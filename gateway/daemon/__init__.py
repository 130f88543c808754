"""The gateway's process: the only place that puts its parts together.

From the floor up, each file what the next ones stand on:

- ``ground``: configuration, certificates, audit log, keys, journal.
- ``pipeline``: what stands between drivers and journal.
- ``whereabouts``: who is held back for what the network says of it.
- ``people``: what people on site can ask.
- ``networks``: a MEC platform and an operator's network around the gateway.
- ``gateway``: the order of it all, from start to stop.
"""

from gateway.daemon.gateway import Gateway, run

__all__ = ["Gateway", "run"]
