"""Exchange with Full-Duplex-Bench v1: transcripts for its scripts, its recordings for us."""
