"""Encode samples in cycles (`duo.data.cycles`) as the systems in one stream meet them.

What they learn are control tokens, one for each chunk that is heard, and what is said. The encoders
below write the very streams that `duo.decoding.fsm` and `duo.decoding.micro_turn` hold when the
model says what the sample has.

An answer that a query cuts off is given up at the query's last words, one cycle before `duo` would:
these schemes decide while words are heard, and need no silence for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from duo.data.cycles import ANSWER_TOKENS, Cycle
from duo.fusion import paired
from duo.tokens import CONTROL_TOKENS
from duo.training.encode import Encoded, Encoder, Row

#: Silent cycles in which an undecided utterance is a chunk: the decoder's patience.
_PATIENCE = 2


def fsm(encoder: Encoder, cycles: Sequence[Cycle]) -> Encoded:
    """Encode a sample for `fsm`.

    Raises:
        TooLong: not even its last user turn fits.
    """
    chat = encoder.chat
    listen_on, begin, speak_on, stop = encoder.control(CONTROL_TOKENS["fsm"])
    rows: list[Row] = []
    in_turn, speaking, undecided, ended, silent = False, False, False, False, 0
    close: Sequence[int] = ()  # what ends the answer before
    shares: Iterator[list[int]] = iter(())
    given_up = _given_up(cycles)
    for place, cycle in enumerate(cycles):
        undecided |= bool(cycle.heard)
        silent = 0 if cycle.heard else silent + 1
        if undecided:
            if not in_turn:
                if rows:
                    rows[-1].context(close)
                rows.append(Row())
                rows[-1].context(chat.user_open)
                in_turn = True
            row = rows[-1]
            row.context(chat.text(cycle.heard) if cycle.heard else [encoder.states.idle])
            if speaking:
                speaking = place not in given_up
                ended &= speaking
                row.learned([speak_on if speaking else stop])
                undecided = bool(cycle.heard) or not speaking
            elif cycle.state == "<1>" and cycle.said:
                row.learned([begin])
                speaking, undecided = True, False
                shares = _answer(encoder, cycles, place)
            else:
                row.learned([listen_on])
                undecided = silent < _PATIENCE
            if speaking:
                row.context([*chat.user_close, *chat.assistant_open])
                in_turn, close = False, chat.assistant_cut
        if speaking:
            said = next(shares, [])
            rows[-1].learned(said)
            ended |= cycle.ended
            if ended and len(said) < ANSWER_TOKENS:  # else it ends in the next cycle
                rows[-1].learned([stop])
                speaking, ended, close = False, False, chat.assistant_close
    return encoder.fitted(chat.preamble, rows)


def micro_turn(encoder: Encoder, cycles: Sequence[Cycle]) -> Encoded:
    """Encode a sample for `micro-turn`.

    Raises:
        TooLong: not even its last turn fits.
    """
    chat = encoder.chat
    silence, listen, speak, stop, pass_over = encoder.control(CONTROL_TOKENS["micro-turn"])
    rows: list[Row] = []
    speaking = False
    shares: Iterator[list[int]] = iter(())
    given_up = _given_up(cycles)
    for place, cycle in enumerate(cycles):
        over = cycle.heard and not _at(cycles, place + 1).heard
        row = Row()
        rows.append(row)
        row.context([*chat.user_open, *(chat.text(cycle.heard) if cycle.heard else [silence])])
        row.context([*chat.user_close, *chat.assistant_open])
        if speaking and place in given_up:
            speaking = False
            row.learned([stop])
        elif over and _at(cycles, place + 1).state == "<2>":
            row.learned([pass_over])
        elif speaking and cycle.said:
            row.learned([speak])
        elif cycle.state == "<1>" and cycle.said:
            speaking = True
            shares = _answer(encoder, cycles, place)
            row.learned([speak])
        else:
            row.learned([listen])
            speaking = False
        said = next(shares, []) if speaking else []
        row.learned(said)
        if speaking and cycle.ended and len(said) < ANSWER_TOKENS:
            encoder.end(row, asked=True)
        else:
            row.context(chat.assistant_close)
        speaking &= not cycle.ended or len(said) == ANSWER_TOKENS
    return encoder.fitted(chat.preamble, rows)


def lslm(encoder: Encoder, cycles: Sequence[Cycle]) -> Encoded:
    """Encode a sample for the channel fusion of `lslm-*`.

    Beside the tokens of an answer stand the word pieces that are heard over it, one each. Where a
    query cuts it off, `<irq>` follows the last of them; what is to be ignored has no such end, and
    while no answer is given it is left out, as nothing decides about it. A sample without an answer
    teaches nothing.

    Raises:
        TooLong: not even its last turn fits.
    """
    chat = encoder.chat
    [irq] = encoder.control(CONTROL_TOKENS["lslm-early"])
    rows: list[Row] = []
    interrupted: list[tuple[int, int]] = []  # row and place of what follows an answer cut off
    waiting, pieces, speaking, cut = "", list[int](), False, False
    shares: Iterator[list[int]] = iter(())
    given_up = _given_up(cycles)
    for place, cycle in enumerate(cycles):
        if cycle.heard:
            waiting = f"{waiting} {cycle.heard}"
            pieces += chat.text(cycle.heard) if speaking else []
        elif not speaking:
            if cycle.state == "<1>":
                row = Row()
                row.context([*chat.user_open, *chat.text(waiting)])
                row.context([*chat.user_close, *chat.assistant_open])
                rows.append(row)
                shares, speaking, cut = _answer(encoder, cycles, place), True, False
            waiting = waiting if cycle.state is None else ""
        elif cycle.state == "<2>":
            waiting = ""
        if not speaking:
            continue
        row = rows[-1]
        cut |= place in given_up
        for token in next(shares, []) if cycle.said else []:
            row.learned([token])
            row.ids[-1] = paired(token, pieces.pop(0) if pieces else None)
            if cut and not pieces:
                break
        if cut:
            interrupted.append((len(rows) - 1, len(row.ids)))
            row.context(chat.assistant_cut)
        elif cycle.ended:
            encoder.end(row, asked=True)
        if cut or cycle.ended:
            speaking, pieces = False, []
    for number, at in interrupted:
        if at < len(rows[number].ids):
            rows[number].labels[at] = irq
        elif number + 1 < len(rows):
            rows[number + 1].labels[0] = irq
    return encoder.fitted(chat.preamble, rows)


def _answer(encoder: Encoder, cycles: Sequence[Cycle], place: int) -> Iterator[list[int]]:
    """Encode the answer that begins in a cycle, and share its tokens out among its cycles."""
    said = [cycles[place].said]
    for before, cycle in pairwise(cycles[place:]):
        if before.ended or not cycle.said or cycle.state == "<1>":
            break
        said.append(cycle.said)
    ids = encoder.chat.text("".join(said), "assistant")
    shares = [ids[n * ANSWER_TOKENS : (n + 1) * ANSWER_TOKENS] for n in range(len(said))]
    shares[-1] += ids[len(said) * ANSWER_TOKENS :]
    return iter(shares)


def _at(cycles: Sequence[Cycle], place: int) -> Cycle:
    return cycles[place] if place < len(cycles) else Cycle()


def _given_up(cycles: Sequence[Cycle]) -> set[int]:
    """Find the cycles in which an answer is given up for what is heard.

    It is the cycle of the last words heard over it, or one in which nothing is left to be said.
    """
    found = set()
    for place, cycle in enumerate(cycles):
        following = _at(cycles, place + 1)
        goes_on = bool(following.said) and following.state != "<1>"
        last_words = bool(cycle.heard) and not following.heard
        last_words &= following.state != "<2>"
        if not cycle.ended and ((last_words and not goes_on) or (cycle.heard and not cycle.said)):
            found.add(place)
    return found
