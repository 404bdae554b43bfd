"""How well a system converses in real time, measured from transcripts alone.

Definitions follow Full-Duplex-Bench v1 (Lin et al. 2025a, arXiv 2503.04721) and v1.5 (Lin et al.
2025b, arXiv 2507.23159) and FD-Bench (Peng et al. 2025), with equivalents in text where those
listen to audio. Bottom up: `words` (what was said when), `transcripts` (reading them),
`conversation` (utterances and answers), `events` (which answer is whose), `outcomes` (what became
of each event), `metrics` and `waste` (figures), `bootstrap` (intervals), `report` and `table`.
"""
