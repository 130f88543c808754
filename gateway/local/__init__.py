"""What people on site ask of the running gateway: a gRPC server of its own.

``config`` and ``access`` say who may call, ``calls`` what a service offers, ``server`` answers,
``client`` and ``options`` are the command line's end, ``place`` is where the socket lies. What is
answered stands beside the logic that answers it: ``status`` here, the others in their folders.
"""
