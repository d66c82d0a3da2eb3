"""Scores of segmentations: metrics from arrays, summaries of folders. Imports no training stack."""
