"""The monitor's side of the Datex Record Interface, for tests and the simulated ward."""
