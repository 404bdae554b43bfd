"""Decode in duplex: two channels over one prefix, and the systems that are compared.

Read in this order: `mask` (who sees whom), `channels` (what the two channels hold), `fused` (both
in one forward pass, over `slots`), `duo` (what the state tokens decide), `systems` (all that can be
recorded), `batched` (many conversations in one pass).
"""
