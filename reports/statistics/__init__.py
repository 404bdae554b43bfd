"""Analyse a rater study: read the ratings, estimate, test, report, and simulate studies."""
