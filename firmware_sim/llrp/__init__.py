"""Simulated RFID readers that speak LLRP."""
