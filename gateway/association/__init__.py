"""Whose value it was: which patient lay in which bed, and which device stood there, when."""
