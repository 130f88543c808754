"""The release report: what left, to whom, in which shape, by which rule; signed, and checkable.

``report`` is its form, ``making`` makes one from ledger and audit log, ``checking`` checks one
against the log, ``page`` prints one, ``cli`` is the command.
"""
