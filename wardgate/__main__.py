"""``python -m wardgate``."""

from wardgate.main import run

run()
