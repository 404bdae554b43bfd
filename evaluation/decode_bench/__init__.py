"""Measure what decoding costs: passes, time and memory of each system on the same conversations.

Read in this order: `drive` (what the user says, and how a system hears it, pass by pass), `machine`
(the limits of the hardware, and `generate()`), `bench` (interleaved rounds, and what is computed
from them), `results`.
"""
