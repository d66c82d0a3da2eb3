"""What gives the scores of a case: one file a way."""
