"""The device's side of MEDIBUS."""
