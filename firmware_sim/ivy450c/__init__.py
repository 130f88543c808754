"""The monitor's side of the Ivy 450C's serial output, for tests and the simulated ward."""
