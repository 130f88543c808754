"""What infusion pumps have in common, whatever they speak: names of metrics, codes of alarms."""
