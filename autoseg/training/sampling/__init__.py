"""From prepared cases to batches: where patches come from, and who makes them while the network computes."""
