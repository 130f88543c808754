"""Fresenius Vial pumps (Pilot, Module DPS in an Orchestra base) on their serial line, read only."""
