"""The project's own bedside payload; see README.md beside this file."""
