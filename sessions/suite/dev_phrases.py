"""The wordings of the half that is for tuning; the symbols are explained in `sessions.suite`."""

from __future__ import annotations

from duo.data.phrases import Grammar

_QUERIES = {
    "long": [
        "could you explain {clause}?", "please explain in detail {clause}.",
        "can you describe {clause}, and take your time?", "help me understand {clause}.",
        "I want the full story of {clause}.", "please go into depth on {clause}.",
        "can you explain to a curious layman {clause}?",
    ],
    "brief": [
        "tell me in one sentence {clause}.", "can you say in twenty words {clause}?",
        "just the short version, please, of {clause}.",
    ],
    "pause": [
        "{setting}, and | {ask}", "what I would love to find out is, | {ask}", "so, um, | {ask}",
        "2|{ask_head} | {ask_tail}", "when it comes to {about}, | {ask}",
        "{setting}, and that is why | I want to ask, {ask}",
    ],
    "turn_end": [
        "2|{ask}", "{setting}. {ask}", "um, {ask}", "a question on {about}. {ask}",
        "as {setting}, {ask}",
    ],
    "follow_up": ["2|and {ask}", "next one, {ask}", "good to hear. {ask}", "then, {ask}"],
    "interruption": [
        "4|{ask}", "oh, quick thing, {ask}", "before I forget, {ask}", "let me cut in here, {ask}",
        "pardon, {ask}", "skip ahead for me, {ask}", "never mind the rest, {ask}",
    ],
    "lead": ["3|", "okay, ", "lovely, ", "listen, ", "ah, ", "um, "],
    "stop_request": [
        "{lead}you don't need to finish.", "{lead}no need to continue.", "{lead}end it there.",
        "{lead}that will do for now.", "{lead}I don't want to hear the rest.",
        "{lead}can we have some silence?", "{lead}you may rest your voice.",
        "{lead}spare me the remainder.", "{lead}please say nothing for a while.",
        "{lead}go silent for me.", "{lead}time to stop speaking.", "{lead}stop right there.",
        "{lead}please fall silent, my phone is ringing.", "{lead}no more of this, please.",
        "{lead}would you please stop?", "stop, stop.",
    ],
}  # fmt: skip

_NON_QUERIES = {
    "backchannel": [
        "oh wow.", "ah, nice.", "huh, neat.", "yup.", "uh-huh, yup.", "no way.", "oh, cool.",
        "mm, sure.", "ha, right.", "ooh.", "whoa.", "ah yes.", "hm, okay.", "well, well.",
        "go figure.", "oh my.", "mm-hm.", "you bet.", "fancy that.", "yeah.", "mm-hm, yes.",
    ],
    "name": ["Beatrix", "Callum", "Dmitri", "Esme", "Fatou", "Gustav", "Heather", "Imogen",
             "Jamal", "Kirsten"],
    "order": [
        "grab the towels before it rains", "hand me the small screwdriver", "hold the ladder still",
        "move your bike off the path", "let Grandpa have that chair", "mind the wet step",
        "shoes off before you come in", "pick up line two for me", "fold those blankets",
        "keep your hands away from the cake", "show the visitors upstairs",
    ],
    "puzzle": [
        "have you seen the blue folder", "who is picking up the twins tonight",
        "is the bath still running", "are those muffins for everyone",
        "when does your rehearsal end", "did the plumber leave a bill",
        "why is the hallway wet", "could you mute that video", "how many chairs are we short",
        "what did the vet charge you",
    ],
    "report": [
        "the taxi is outside", "your grandmother wants a word with you",
        "the pizza place says twenty more minutes", "I am talking to the assistant right now",
        "the key is under the flower pot", "we can start loading the van",
        "I signed for your package",
    ],
    "third_party": [
        "3|{name}, {order}.", "4|{name}, {puzzle}?", "{name}, {report}.", "{name}? {puzzle}?",
        "no no, {name}, I meant you.", "not so loud, {name}, {order}.",
        "just so that you know, {name}, {report}.",
    ],
    "city": ["Leeds", "Dundee", "Bristol", "Norwich", "Swansea", "Derby"],
    "digit": ["two", "three", "four", "six", "seven", "nine"],
    "background": [
        "expect heavy rain over the northern hills by evening, with strong gusts.",
        "the delayed service to {city} departs from platform {digit} in a minute.",
        "and that is the second goal for the visitors this afternoon.",
        "traffic is building near {city} after a lorry shed its load on the bypass.",
        "shares in the airline closed {digit} percent lower in late trading.",
        "would the owner of a grey van please return to the car park.",
        "in tonight's episode, the detective goes back to the quarry.",
        "two for one on all garden furniture, this weekend only.",
        "attention shoppers, the bakery counter closes in ten minutes.",
        "live from {city}, you are listening to the late show.",
        "after {digit} days, the jury is still out.",
        "and I'll be rowing home to you when the harbour lights are low.",
        "lane {digit} is free, do not stay on the line.",
        "three, two, one, and we have lift-off.",
        "doctors advise drinking plenty of water during the heat.",
        "but Margaret, you promised never to open that drawer!",
        "fresh strawberries, get your fresh strawberries!",
        "what would you do with a million pounds? play tonight!",
    ],
    "statement": ["3|{remark}.", "you know what, {remark}.", "by the way, {remark}."],
}  # fmt: skip

GRAMMAR = Grammar({**_QUERIES, **_NON_QUERIES})
