"""MQTT 3.1.1 and 5.0 (OASIS Standards, 2014 and 2019): bytes to control packets and back.

Sans-I/O: no sockets, clocks, loggers. ``decoder`` reads either side's stream, ``encoder``
writes packets, ``errors`` is the table of what a peer can do wrong. What belongs to a session
(packet identifiers in flight, receive maximum, keep-alive) is the driver's.
"""
