"""What drivers of ventilators share: codes, and the times that their clocks and curves have."""
