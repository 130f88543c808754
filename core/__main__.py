"""``python -m core run --config FILE``."""

from core.cli import app

app(prog_name="core")
