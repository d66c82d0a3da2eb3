"""What may be wrong with this computer and this installation, found by trying it, and what to do about it."""
