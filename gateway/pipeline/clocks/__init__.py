"""When something was measured: device clocks, and the gateway's own as it is set."""
