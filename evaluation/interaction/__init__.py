"""Measure from transcripts alone how well a system converses in real time.

Definitions follow Full-Duplex-Bench v1 (Lin et al. 2025a, arXiv 2503.04721) and v1.5 (Lin et al.
2025b, arXiv 2507.23159) and FD-Bench (Peng et al. 2025), with equivalents in text where those
listen to audio. Bottom up: `duo.reading` and `duo.speech` (words, utterances, whose answer is
which), `events` (what became of each event), `metrics`, `panel`, `content`, `control` (samples),
`bootstrap` (intervals), `results` (all figures, as a file), `table`, `judged`.
"""
