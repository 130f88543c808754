"""The monitor's side of Philips IntelliVue Data Export, for tests and the simulated ward."""
