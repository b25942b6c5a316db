"""What can go wrong in the lab: ``table`` names it, ``switch`` turns it on and off, ``runner`` strikes at a step of a run."""
