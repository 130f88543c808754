"""What every driver keeps, as tests that any driver passes: see drivers/README.md."""
