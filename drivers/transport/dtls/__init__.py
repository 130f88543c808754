"""DTLS 1.2 with certificates on both sides, over one UDP socket.

``records`` is the record layer's framing, ``cookies`` the stateless proof of an address,
``association`` one DTLS association without a socket, ``server`` and ``client`` its two ends.
"""
