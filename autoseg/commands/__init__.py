"""One file a command: a parser, and a function with plain arguments that does the work."""
