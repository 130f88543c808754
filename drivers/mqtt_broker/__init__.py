"""A ward's existing MQTT broker as a source; see README.md."""
