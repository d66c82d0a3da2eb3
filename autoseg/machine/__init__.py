"""The machine: what of it may be used, which process is which, and worker processes with the one pool that works on many cases."""
