"""What an operator's network can be asked for by way of its public interfaces (CAMARA).

``config`` is ``[network_apis]``; ``interface`` is all that the rest of the gateway knows of a
network; ``camara`` asks one over HTTPS; ``quality`` decides, without I/O, when a device's flow has
a session, and ``keeper`` does what it says; ``rounds`` asks about every device in turn; ``service``
and ``cli`` are for people on site.
"""
