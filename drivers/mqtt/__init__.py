"""MQTT 3.1.1 and 5.0: devices connect to the gateway itself; see README.md."""
