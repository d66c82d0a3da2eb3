"""How a terminal is spoken to: its streams, what is written to them and in what order, the signals that it sends."""
