"""Full-Duplex-Bench v1: our transcripts for its scripts, its recordings for our metrics."""
