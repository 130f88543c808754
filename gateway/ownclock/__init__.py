"""The gateway's own clock: who vouches for it, and how far it may be off."""
