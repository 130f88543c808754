"""The one command, ``wardgate``: it puts the parts' commands together and owns no logic."""
