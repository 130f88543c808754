"""Kill, cut off and fill up a whole gateway under load; then count what the devices were told."""
