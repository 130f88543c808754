"""What drivers share above a transport: see drivers/README.md."""
