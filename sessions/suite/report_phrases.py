"""The wordings of the half that is kept for reporting; the symbols are those of the other half."""

from __future__ import annotations

from duo.data.phrases import Grammar

_QUERIES = {
    "long": [
        "would you tell me at length {clause}?", "what can you tell me about {clause}?",
        "give me a thorough explanation of {clause}.", "teach me {clause}, as if I were new to it.",
        "I need to understand {clause}, so please be thorough.", "I'd enjoy hearing {clause}.",
        "take me through it properly, {clause}.",
    ],
    "brief": [
        "keep it very short and tell me {clause}.", "can you sum up in a few words {clause}?",
        "one line is enough, please, on {clause}.",
    ],
    "pause": [
        "because {setting}, | {ask}", "when you think about {about}, | {ask}",
        "my question would be, er, | {ask}", "2|{ask_head} | {ask_tail}", "{setting}, but | {ask}",
        "since {setting}, I thought | I might ask, {ask}",
    ],
    "turn_end": [
        "2|{ask}", "{setting}, so here is my question. {ask}", "well, {ask}",
        "something about {about}. {ask}", "given that {setting}, {ask}",
    ],
    "follow_up": ["2|also, {ask}", "another thing, {ask}", "all clear so far. {ask}",
                  "one more on that, {ask}"],
    "interruption": [
        "4|{ask}", "can I jump in? {ask}", "ooh, {ask}", "plenty on that, {ask}",
        "something more urgent, {ask}", "may I break in, {ask}", "fine, but tell me this, {ask}",
    ],
    "lead": ["3|", "right, ", "thanks, ", "hey, ", "er, ", "sorry, "],
    "stop_request": [
        "{lead}we can end this here.", "{lead}not another word.", "{lead}just stop your answer.",
        "{lead}zip it for now.", "{lead}hold your tongue for a bit.",
        "{lead}you can leave the rest out.", "{lead}I'm done listening.",
        "{lead}kindly stop speaking.", "{lead}mute yourself, please.", "{lead}break off there.",
        "{lead}no more talking, please.", "{lead}I would like some peace now.",
        "{lead}please quieten down, the baby is asleep.", "{lead}drop the subject and be still.",
        "{lead}could you stop now?", "quiet, quiet.",
    ],
}  # fmt: skip

_NON_QUERIES = {
    "backchannel": [
        "yeah, wow.", "ooh, nice.", "huh, okay.", "right, yup.", "mm, lovely.", "oh, really.",
        "ah, neat.", "my goodness.", "oh dear.", "hm, fun.", "true, true.", "aye.", "wow, yes.",
        "gee.", "oh boy.", "is that so.", "ah.", "good grief.", "mhm, mhm.", "I say.", "right.",
    ],
    "name": ["Lorenzo", "Mabel", "Nadia", "Orla", "Percy", "Quentin", "Rhea", "Stefan", "Tamsin",
             "Wilfred"],
    "order": [
        "close the freezer properly", "lend me your jacket", "leave some gravy for the others",
        "park behind the church", "get down from that wall", "water the tomatoes for me",
        "stir the sauce while I am gone", "try the other socket", "don't poke your brother",
        "ask the waiter for the bill", "put a cushion under her head",
    ],
    "puzzle": [
        "which of these shirts is yours", "have the Jansens paid their share",
        "is there any room in the boot", "where does this cable go", "did anyone walk the dog",
        "how late is the chemist open", "are you staying for the game",
        "who left the gate unlocked", "can Grandma climb those stairs",
        "when is the boiler man coming",
    ],
    "report": [
        "the ferry leaves at noon", "there is cake left in the tin",
        "your ride has just turned into our street", "I am asking the machine something",
        "the chairs go against the wall", "they moved the match to Sunday week",
        "the doctor can see you at half past",
    ],
    "third_party": [
        "3|{name}, {order}.", "4|{name}, {puzzle}?", "{name}, {report}.",
        "listen, {name}, {puzzle}?",
        "oh, hi there, {name}, {report}.", "can't you wait, {name}, {order}.",
        "the question was for {name}, {puzzle}?",
    ],
    "city": ["Geneva", "Porto", "Malmö", "Antwerp", "Tampa", "Izmir"],
    "digit": ["five", "eight", "ten", "twelve", "fourteen", "sixteen"],
    "background": [
        "we have begun our descent into {city}, please fold away your tables.",
        "the minister declined to comment on the leaked letter.",
        "next up on this channel, a documentary on glass blowing.",
        "the home side trail by {digit} points at the break.",
        "for ticket sales, please stay on the line.",
        "all our lines are busy, your call has moved up in the queue.",
        "polling stations close at {digit} tonight all over the island.",
        "previously on Harbour Street, Agnes found the hidden letters.",
        "please stand clear, the doors on the left side are closing.",
        "passengers for {city} at gate {digit}, this is the final call.",
        "everything must go, our closing sale ends tonight.",
        "near {city}, the river is expected to peak around midnight.",
        "oh, the road is long but the band plays on.",
        "that makes corner number {digit} for the team in red.",
        "customer number {digit}, your order can be collected.",
        "leave the gun on the table and step away from the window, sheriff!",
        "how clean is your carpet really? try our new foam today!",
        "a little more paprika goes in, and the chef gives it a stir.",
    ],
    "statement": ["3|{remark}.", "honestly, {remark}.", "funny enough, {remark}."],
}  # fmt: skip

GRAMMAR = Grammar({**_QUERIES, **_NON_QUERIES})
