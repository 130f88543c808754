"""Ivy Biomedical Vital-Guard 450C patient monitor, serial output "ANSAR-B"."""
