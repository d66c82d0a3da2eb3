"""Models as one file: packing what was trained, and letting in nothing that could do harm."""
