"""The pumps' side of a Fresenius line, for tests and the simulated ward."""
