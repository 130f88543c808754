"""HL7 v2 over MLLP: a receiver of observations, alarms and device status (IHE PCD)."""
