"""What is done to a finished segmentation: connected components, and the rules that use them. Needs numpy and scipy only."""
