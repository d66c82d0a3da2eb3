"""Long work in steps that are commands of ours: what is done is kept, what was cut off is continued."""
