"""Puritan Bennett 840 and 980 ventilators: see README.md."""
