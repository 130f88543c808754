"""Masimo pulse oximeters (Rad-8, Radical-7), serial output "ASCII 1"."""
