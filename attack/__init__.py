"""The security officer's attacks, run against a system from outside.

Rules: an attacker knows what anybody on the network can learn, and the keys of the devices and
insiders that were given to it; it has clients of its own and imports nothing of what it attacks
but codecs. A look-alike authority is the attacker's own. What is seen is told as it was, and a
system that can't be reached has withstood nothing.
"""
