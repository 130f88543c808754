"""A Wardgate driver: see README.md."""
