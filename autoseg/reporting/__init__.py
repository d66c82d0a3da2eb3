"""Pictures for people to look at. matplotlib is imported only where one is drawn."""
