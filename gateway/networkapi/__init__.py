"""What a network can be asked for by way of its public interfaces (CAMARA; 3GPP's NEF).

``config`` is ``[network_apis]``; ``interface`` is all that the rest of the gateway knows of a
network; ``camara`` asks an operator's over HTTPS, ``nef`` a core, of whose areas ``shapes``
knows, and to whose word of changed modems ``modems`` listens;
``quality`` decides, without I/O, when a device's flow has a session, and ``keeper`` does what it
says; ``rounds`` asks about every device in turn; ``service`` and ``cli`` are for people on site.
"""
