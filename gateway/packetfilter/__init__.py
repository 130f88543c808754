"""The kernel agrees: packet filter and address limits, from policy and configuration.

``openings`` says what a gateway needs of the network, and is the one source: ``ruleset`` writes it
for nftables, ``systemd`` for a unit's address limits. ``nft`` runs the tool, ``service`` is root's
process that keeps the rules in force and tells their counters in a file (``snapshot``), and
``watch`` is the gateway's side, which reads that file and raises alarms.

The gateway's process never says what its own rules are: they come from files that root alone
writes.
"""
