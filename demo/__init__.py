"""``make demo``: a hospital ward on one machine, made of the real parts.

Nothing here is imported by the product. The demo makes a PKI, writes the configuration of every
part, starts each as the process it is in the field, sends a simulated ward's data through, and
holds three accounts against each other: what the devices saw, what the stores hold, and what
the gateway says.
"""
