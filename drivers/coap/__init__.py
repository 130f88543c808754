"""CoAP over DTLS: devices post their reports and observe their commands; see README.md."""
