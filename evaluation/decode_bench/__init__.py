"""Measure what decoding costs: passes, time and memory of each system on the same conversations.

Read in this order: `script` (what the user says and what it is), `drive` (a system hears it, pass
by pass), `machine` (what the hardware and `generate()` can do), `bench` (interleaved rounds, and
what is computed from them), `results`.
"""
