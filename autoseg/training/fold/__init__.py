"""One fold: what lies in its folder, and what is shown and written while it is trained."""
