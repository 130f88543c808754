"""What an operator's network can be asked for by way of its public interfaces (CAMARA).

``config`` is ``[network_apis]``; ``interface`` is all that the rest of the gateway knows of a
network; ``camara`` asks one over HTTPS, ``events`` reads what one tells; ``quality`` decides,
without I/O, when a device's flow has a session, and ``keeper`` does what it says; ``service`` and
``cli`` are for people on site.
"""
