"""What others say, as people may see it."""

from __future__ import annotations


def one_line(text: str) -> str:
    """A text in which everything that can't be printed is a question mark."""
    return "".join(each if each.isprintable() else "?" for each in text)
