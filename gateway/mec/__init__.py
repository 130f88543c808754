"""The gateway as an application of a MEC platform (ETSI GS MEC 011, 015, 021).

``config`` is ``[mec]``; ``http`` speaks to the platform, with ``oauth`` for its tokens; ``apps``,
``services``, ``bandwidth``, ``mobility``, ``location`` and ``radio`` are the interfaces, a module
each, with ``reading`` for what is said there, ``kept`` for subscriptions that end, and
``leftovers`` for what a gateway that was killed has left there; ``path`` looks at what the data
plane does with the gateway's traffic, and ``rules`` judges it; ``life`` decides, without I/O, when
the gateway may say that it is ready, when nothing may leave, and when it ends; ``callbacks`` is
told by the platform; ``agent`` does what ``life`` says; ``making`` puts them together.
"""
