"""What makes generated files; run as commands."""
