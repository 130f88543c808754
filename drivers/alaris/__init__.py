"""Alaris Asena and GH syringe pumps (ALARIS Communications protocol), read only."""
