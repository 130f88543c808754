"""The ventilator's side of the Puritan Bennett 840/980 ports."""
