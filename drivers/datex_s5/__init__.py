"""GE Datex-Ohmeda S/5 and CARESCAPE Bx50 monitors: Datex Record Interface over RS-232."""
