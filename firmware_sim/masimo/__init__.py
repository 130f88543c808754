"""The oximeter's side of Masimo's ASCII 1, for tests and the simulated ward."""
