"""A monitor, or a gateway for monitors, that sends HL7 v2 over MLLP."""
