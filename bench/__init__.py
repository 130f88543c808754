"""``make bench``: Wardgate beside a mosquitto bridge on the same machine, in interleaved rounds.

Figures are ratios of what ran side by side; absolute figures belong to the machine.
"""
