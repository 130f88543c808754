"""The pump's side of the ALARIS Communications protocol, for tests and the simulated ward."""
