"""Alarms that the gateway raises, and alarms that devices show."""
