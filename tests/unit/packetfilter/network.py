"""Runs something in a network namespace of its own, which is gone when it returns."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

CLONE_NEWNET = 0x40000000
T = TypeVar("T")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def apart(job: Callable[[], T]) -> T:
    """Run ``job`` in a thread, and its children, with no network but a loopback that is down."""
    libc = ctypes.CDLL(None, use_errno=True)

    def work() -> T:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        return job()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(work).result()
