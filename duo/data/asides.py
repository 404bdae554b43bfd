"""What people say to themselves, or to somebody in the room whom no name gives away: our own lists.

Nothing in these texts but what they are about tells that they are not for the listener. Somebody
looks for a word, for a thing of their own or for the place where they were; reads, counts or spells
half aloud; or speaks of what only those in the room can see, touch or do. Symbols that are not
defined here are those of `duo.data.phrases`.
"""

from __future__ import annotations

_TO_ONESELF = {
    "puzzled": [
        "what was it", "what was it again", "what is it again", "where was it", "where was I",
        "how did that go again", "who mentioned that", "who told me that",
        "what did I do with it", "what did I do with my {lost}", "where did I put it",
        "where did I see that", "where did that go", "where did my {lost} go",
        "is this the place", "is it in here", "is it this one", "is this the right {thing}",
        "do I still have that", "did I write that down", "do I have my {lost}",
        "did I lock the {thing}", "have I done the {thing}", "was it {number} or {number}",
        "was it {day}", "what's the word", "what's the word for it", "what was it called",
        "what's that called again", "where do I begin", "what was I going to say",
        "what was I looking for", "why did I come in here", "which one was it", "now what",
        "now which one is it", "what was the name again", "how many was that",
        "when did I last see it", "what day is it again", "what comes after {number}",
    ],
    "fumbled": [
        "left the {thing} on again", "left my {lost} at home again", "always forget that",
        "still not used to that", "can't remember", "don't know where I put it", "can't find it",
        "must be in the {place}", "should be {number}", "almost there", "got it here somewhere",
        "just one more", "this goes here", "and that goes there", "here we go", "in there",
        "in here somewhere", "up there", "over here then", "not in the {place}",
        "not on the {thing} either", "{number} left", "{number} down, {number} to go",
        "have to do the {thing}", "got to do the {thing}", "better check the {thing}",
        "better do that on {day}", "let's see the {thing} then", "close the {thing}",
        "and now the {thing}", "and then the {thing}", "let's try the {thing}",
        "one of these days", "not again", "oh dear", "whoops", "my mistake", "no, the other one",
        "no, other way round", "wrong {thing}", "too much", "not enough", "almost forgot",
        "nearly had it", "so close",
    ],
    # Words by themselves, as somebody says who reads, counts or looks for something.
    "letter": list("abcdefghjklmnprstvwxyz"),
    "noun": [
        "3|{topic}", "2|{thing}", "{lost}", "{place}",
    ],
    "muttering": [
        "4|{topic}.", "2|the {noun}.", "2|{noun}.", "{noun} {noun}.", "{topic}, {topic}.",
        "2|{number}.", "{number} {number}.", "{number} point {number}.",
        "{number}, {number}, {number}.", "{number} out of {number}.",
        "{number} hundred {number}.", "equals {number}.", "{letter} {letter} {letter}.",
        "{letter} {letter} {noun}.", "{letter} equals {number}.", "{noun} {number}.",
        "on the {noun}.", "in the {noun}.", "with the {noun}.", "of the {noun}.",
        "for the {noun}.", "and {topic}.", "or {topic}.", "not {topic}.", "no {topic}.",
        "only {topic}.", "just the {noun}.", "this {noun}.", "that {noun}.", "another {noun}.",
        "somebody's {noun}.", "my {noun}.", "non {topic}.", "kind of {topic}.", "{topic} thing.",
        "{topic} and so on.", "new {noun}.", "{name}'s {noun}.", "{name}.", "{day}.",
        "{plain_judged}.",
    ],
}  # fmt: skip

_IN_THE_ROOM = {
    "nearby": [
        "here you go", "there you go", "this one is yours", "that's your {lost}",
        "you're sitting on my {lost}", "you have to pull harder", "you can put it in the {place}",
        "you have to hold it by the {thing}", "a bit to the left", "a little higher", "this way",
        "no, further down", "careful, it's hot", "mind the {thing}", "bless you", "see you",
        "see you on {day}", "we're in the {place}", "we're almost done", "I'll be right back",
        "off to the {place}", "{name} is here", "{name} here", "it's on page {number}",
        "it's the {number} on the left", "the {thing} is still on",
        "stop looking at me like that", "nice {lost}", "I like your {lost}",
        "you've got something on your chin", "after you", "no, you go first",
        "sorry, was that your {thing}", "that {thing} is not yours",
        "I never know whose {lost} these are", "I didn't know you had a {thing}",
        "you need a bigger {thing}", "leave it there", "that's how they do it over there",
        "the other side", "by the {thing}", "he's in the {place}", "she's on the phone",
        "they're waiting in the {place}", "just getting the {thing}", "{name} has one too",
        "{name} would like that one", "it's {number} already", "that doesn't go in there",
        "yours is in the {place}",
    ],
    "bodily": [
        "can I borrow your {lost}", "can I use your pen for a second",
        "can I have a bite of that", "can I sit here", "could you pass me that",
        "could you hold this for a second", "can you move over a bit",
        "should I turn off the {thing}", "should I open the {thing}",
        "shall I close the {place} door", "is this your {lost}", "is that my {lost}",
        "whose {lost} is this", "are these your {lost}", "do you want some",
        "do you want the last one", "are you cold", "are you hungry", "who wants coffee",
        "is there any coffee left", "did you bring your {lost}", "did you bring the {thing}",
        "are you done with the {thing}", "is anybody sitting here",
        "what happened to your {lost}", "why are you laughing", "what are you looking at",
        "is it still raining", "can everybody see it", "which {lost} do you like better",
        "does this look good on me", "have you eaten", "are you wearing my {lost}",
        "is the {place} free", "did you hear that noise", "who left the {thing} on",
        "want a cookie", "is that thing on", "is the microphone on", "can you reach the {thing}",
    ],
}  # fmt: skip

RULES = {**_TO_ONESELF, **_IN_THE_ROOM}
