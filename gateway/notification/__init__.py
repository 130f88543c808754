"""Alarms to people: the alarm manager and alarm communicator of a ward (IHE PCD ACM), locally.

A *secondary* notification: the bedside device stays the primary source of its alarms.
"""
