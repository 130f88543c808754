"""RFID readers that speak LLRP: the gateway is their client."""
