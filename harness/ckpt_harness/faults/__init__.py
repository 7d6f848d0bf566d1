"""What can go wrong, as plain values: sites, effects, faults and plans. Needs no torch."""
