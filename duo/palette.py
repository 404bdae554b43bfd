"""Define the colours and the words for who speaks: the same on pages, in figures, in terminals.

They follow Okabe and Ito's palette for colour-blind readers, darkened where they carry text.
"""

from __future__ import annotations

#: By what it is for, on a light ground and on a dark one: the person, the assistant, what marks
#: that both speak, and where one cuts the other short.
LIGHT = {
    "person": "#00659e",
    "person-tint": "#d3e7f5",
    "assistant": "#9c5200",
    "assistant-tint": "#fde4c3",
    "both": "#59616c",
    "cut": "#a8123d",
}
DARK = {
    "person": "#74bdee",
    "person-tint": "#12364f",
    "assistant": "#f3ae62",
    "assistant-tint": "#4b3114",
    "both": "#b4bcc7",
    "cut": "#ff8aa3",
}

#: In a terminal, whose ground may be light or dark: readable on both.
PERSON, ASSISTANT, CUT = "#2b86c5", "#c2701a", "#d1385f"

#: What readers call the parts of a conversation; the labels are `duo.transcript.Label`.
USER = "person"
UTTERANCES = {"query": "question", "non_query": "remark", None: ""}
