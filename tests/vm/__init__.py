"""``make test-vm``: the roles against a real Debian with a real systemd, in a virtual machine."""
