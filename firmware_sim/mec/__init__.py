"""A MEC platform for tests and the demo: stateful where a mock can't be.

It keeps rules, subscriptions, services, allocations and tokens, tells applications of what happens,
and can be restarted, misled and taken away. Its answers are held against the published
specifications by tests.
"""
