"""Statistics of a rater study: read the ratings, estimate, test, and say how sure one can be."""
