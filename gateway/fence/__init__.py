"""The electronic fence: where the network sees devices, where they may be, and what follows.

``config`` is ``[fence]``; ``machine`` is one device as a table without I/O; ``fence`` keeps every
device and says what follows; ``following`` knows which ward a place follows, ``places`` tells the
associations; ``links`` is how well each is heard.
"""
