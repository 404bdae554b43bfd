"""Hold a scripted conversation with a system; count and time every forward pass.

The user asks, listens for a while, talks over the answer for as long (a remark, to be ignored), is
quiet, and then interrupts the answer with a second question. The quiet twin of this conversation
has the first question alone, so that the same tokens of the same answer are spoken with and without
listening.

The script says what an utterance is: the look-ahead runs in full while the user speaks and finds
the state token at the end; answers do not end. All else is the model's and the system's own work.
So the costs are those of a model that decides rightly, for any model, even one of random weights,
and all systems are measured on the same course of events.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from typing import Any, Literal

import torch
from torch import Tensor

from duo.backbone import Backbone
from duo.decoding.batched import Session, build_together, run_together
from duo.decoding.channels import Scores
from duo.decoding.conversant import CycleResult, Kind, run

#: Words a second (150 a minute, a common pace of English conversation).
WORDS_PER_SECOND = 2.5
#: Tokens of an answer that a second is planned for: four, the paper's pace.
TOKENS_PER_SECOND = 4
#: A pause long enough that every system has decided, and slices of two seconds stay aligned.
_PAUSE = 4.0

_FIRST = "Could you explain to me how the tides of the sea come about?"
_SECOND = "Sorry, but why are there two of them every day?"
_REMARK = """
I remember that when I was small we used to spend the whole summer at the coast, and in the morning
the water had gone so far out that you could walk to the little island with dry feet, and then my
uncle would tell us to look at the clock and be back before noon because it comes in faster than you
can run, and of course we never believed him until one day we had to wait there until the evening
"""


@dataclass(frozen=True)
class Utterance:
    """Something the user says.

    Attributes:
        words: its words, each with the blank before it.
        start: when its first word begins, in seconds; the words follow evenly.
        state: "respond" to it or "ignore" it.
    """

    words: tuple[str, ...]
    start: float
    state: Literal["respond", "ignore"]

    @property
    def ends(self) -> tuple[float, ...]:
        """The time at which each word ends, in seconds of the conversation."""
        return tuple(
            self.start + count / WORDS_PER_SECOND for count in range(1, len(self.words) + 1)
        )


@dataclass(frozen=True)
class Script:
    """A user's side of a conversation.

    Attributes:
        utterances: in order.
        seconds: the conversation's length.
        over: what is said over an answer, in this conversation or in its twin.
    """

    utterances: tuple[Utterance, ...]
    seconds: float
    over: tuple[Utterance, ...] = ()

    def heard(self, start: float, end: float) -> str:
        """Join the words that end in [start, end), in seconds."""
        return "".join(
            word
            for utterance in self.utterances
            for word, said in zip(utterance.words, utterance.ends, strict=True)
            if start <= said < end
        )

    def talks_over(self, start: float, end: float) -> bool:
        """Tell whether a word said over the answer ends in [start, end), here or in the twin."""
        return any(start <= said < end for utterance in self.over for said in utterance.ends)

    def last_heard(self, before: float) -> tuple[Utterance | None, bool]:
        """Find the utterance heard last before a moment, and whether all of it was heard."""
        begun = [utterance for utterance in self.utterances if utterance.ends[0] < before]
        return (begun[-1], begun[-1].ends[-1] < before) if begun else (None, False)


def listening_while_speaking(tokens: int) -> tuple[Script, Script]:
    """Make the conversation, and its quiet twin of the same length.

    Args:
        tokens: of the answer that are spoken before, and about as many during, the long remark.
    """
    window = max(2.0, 2 * round(tokens / TOKENS_PER_SECOND / 2))  # in whole slices of two seconds
    question = _utterance(_FIRST.split(), 0.0, "respond")
    answer = _next_slice(question) + window
    count = max(1, round(window * WORDS_PER_SECOND) - 1)
    remark = _utterance(
        list(islice(chain.from_iterable(repeat(_REMARK.split())), count)), answer, "ignore"
    )
    second = _utterance(_SECOND.split(), _next_slice(remark) + _PAUSE, "respond")
    seconds = _next_slice(second) + _PAUSE
    over = (remark, second)
    return Script((question, *over), seconds, over), Script((question,), seconds, over)


def _utterance(words: list[str], start: float, state: Literal["respond", "ignore"]) -> Utterance:
    return Utterance((words[0], *(f" {word}" for word in words[1:])), start, state)


def _next_slice(utterance: Utterance) -> float:
    """Find the first even second at which the utterance is over."""
    return 2.0 * (int(utterance.ends[-1] // 2) + 1)


#: Conversations held for each row, one after the other.
_WAVES = 2
#: Tokens before and during the long remark; of four lengths, so that sessions are out of step.
_TOKENS = (8, 16, 16, 24)
#: Tokens of an answer at most: it lasts as long as the script.
ENDLESS = 10**6

#: Tokens that a forward pass carries, and those of them whose next-token scores are wanted.
Shape = tuple[int, int]


@dataclass(frozen=True)
class Step:
    """One step of a cycle: all that was pending in the channels was encoded.

    Attributes:
        passes: forward passes it took.
        tokens: tokens that those carried.
        speaks: it yielded a token of the answer.
        listens: an input channel was open.
        done: when its tokens were chosen, in seconds since the cycle began.
    """

    passes: int
    tokens: int
    speaks: bool
    listens: bool
    done: float

    @property
    def shape(self) -> Shape:
        """Rows of the matrix products of its one forward pass."""
        return self.tokens, self.speaks + self.listens


@dataclass(frozen=True)
class Cycle:
    """A cycle of a system.

    Attributes:
        heard: words came in.
        seconds: machine time.
        steps: in order.
        result: as the system reports it.
        over: the user is heard over an answer in it, in this conversation or in its twin.
    """

    heard: bool
    seconds: float
    steps: tuple[Step, ...]
    result: CycleResult
    over: bool = False

    @property
    def spoken(self) -> int:
        """Tokens of the answer."""
        return sum(step.speaks for step in self.steps)

    @property
    def passes(self) -> int:
        return sum(step.passes for step in self.steps)

    @property
    def tokens(self) -> int:
        """Tokens carried by the forward passes."""
        return sum(step.tokens for step in self.steps)

    @property
    def decided(self) -> int | None:
        """After which step an utterance was found to be a query; None if none was."""
        found = (event.step for event in self.result.events if event.kind is Kind.RESPOND)
        return next(found, None)


@dataclass(frozen=True)
class Run:
    """What a system did in a whole conversation.

    Attributes:
        script: what the user said.
        length: seconds of a cycle.
        cycles: in order.
        cache_bytes: the most that the cache took.
    """

    script: Script
    length: float
    cycles: tuple[Cycle, ...]
    cache_bytes: int = 0

    @property
    def over_the_answer(self) -> list[Cycle]:
        """The cycles in which the user is heard over an answer, here or in the twin."""
        return [cycle for cycle in self.cycles if cycle.over]

    @property
    def seconds(self) -> float:
        """The machine time of all cycles."""
        return sum(cycle.seconds for cycle in self.cycles)


#: A score that no other comes near, and that still has a probability.
_SURE = 1e4


class Steering:
    """Bends scores to a script, at the cost of writing a few numbers into them.

    A system whose control tokens mean one thing now and another then names the one that counts by
    its `control_token`.

    Args:
        backbone: the model that speaks, with the control tokens of all systems.
        monitor: the one that decides; None if that is the same.
    """

    def __init__(self, backbone: Backbone, monitor: Backbone | None = None) -> None:
        def tensor(ids: Iterable[int]) -> Tensor:
            return torch.tensor(list(ids), device=backbone.device)

        hears = monitor or backbone
        states = hears.states
        self._states = {"respond": states.respond, "ignore": states.ignore}
        self._no_end = tensor([*backbone.chat.stop, *backbone.states.others, backbone.states.idle])
        self._no_state = tensor([*hears.chat.stop, *self._states.values()])

    @torch.inference_mode()
    def bend(self, scores: Scores, script: Script, now: float, system: Any = None) -> None:
        """Edit the scores of a pass in place; `now` is how far the user has been heard."""
        named = getattr(system, "control_token", None)
        if scores.output is not None:
            scores.output[self._no_end] = -torch.inf
            stop = getattr(system, "interrupts", None)  # what stops an answer stands in it
            utterance, whole = script.last_heard(now)
            if stop is not None and whole and utterance and utterance.state == "respond":
                scores.output[stop] = _SURE
        if scores.input is not None:
            utterance, whole = script.last_heard(now)
            if named is not None:
                state = utterance.state if utterance is not None and whole else None
                scores.input[named(state)] = _SURE
            elif utterance is not None and whole:
                scores.input[self._states[utterance.state]] = _SURE
            else:
                scores.input[self._no_state] = -torch.inf


def conversation(system: Any, script: Script, steering: Steering) -> Session[Run]:
    """Hold the conversation from a fresh start, as a session that others encode for.

    Args:
        system: one of ours, with `steps` and `channels`.
        script: what the user says.
        steering: of the system's backbone.
    """
    system.reset()
    length: float = system.cycle_seconds
    cycles, cache = [], 0
    for number in range(int(script.seconds // length)):
        cycles.append((yield from _cycle(system, script, steering, number * length)))
        cache = max(cache, system.channels.cache_bytes)
    return Run(script, length, tuple(cycles), cache)


def drive(system: Any, script: Script, steering: Steering) -> Run:
    """Hold one conversation by itself; see `conversation`."""
    return run(conversation(system, script, steering))


def _cycle(system: Any, script: Script, steering: Steering, now: float) -> Session[Cycle]:
    since = now - system.cycle_seconds
    heard = script.heard(since, now)
    channels = system.channels
    pending: list[tuple[int, int, bool, bool]] = []
    done: list[float] = []
    began = time.perf_counter()
    steps = system.steps(heard)
    try:
        waiting = next(steps)
        while True:
            if isinstance(waiting, list):
                waiting = steps.send((yield waiting))
                continue
            if pending:
                done.append(time.perf_counter() - began)
            before = channels.forward_passes, channels.tokens_processed
            listens = channels.input is not None
            scores = yield channels
            passes = channels.forward_passes - before[0]
            tokens = channels.tokens_processed - before[1]
            pending.append((passes, tokens, scores.output is not None, listens))
            steering.bend(scores, script, now, system)
            waiting = steps.send(scores)
    except StopIteration as stopped:
        result: CycleResult = stopped.value
    seconds = time.perf_counter() - began
    done += [seconds] * (len(pending) - len(done))
    made = tuple(Step(*facts, moment) for facts, moment in zip(pending, done, strict=True))
    return Cycle(bool(heard.strip()), seconds, made, result, script.talks_over(since, now))


@dataclass(frozen=True)
class Response:
    """From hearing the last word of a query to the first token of its answer.

    Attributes:
        passes: forward passes.
        seconds: machine time, without the waiting for the next cycle to begin.
        cycles: cycles that began meanwhile, that of the last word included.
        after_decision: forward passes since the query was recognised as one; None where the
            system takes no such decision.
        seconds_after_decision: machine time since then.
    """

    passes: int
    seconds: float
    cycles: int
    after_decision: int | None
    seconds_after_decision: float | None = None


def responses(run: Run) -> list[Response | None]:
    """Find the response to each query of the script, in order; None if there was none in time.

    A system that reports no decisions at all (time slices) answers with the first token it speaks.
    """
    decides = any(cycle.decided is not None for cycle in run.cycles)
    queries = [utterance for utterance in run.script.utterances if utterance.state == "respond"]
    starts = [int(query.ends[-1] // run.length) + 1 for query in queries]
    stops = [*starts[1:], len(run.cycles)]
    return [
        _response(run.cycles[start:stop], decides)
        for start, stop in zip(starts, stops, strict=True)
    ]


def _response(cycles: Sequence[Cycle], decides: bool) -> Response | None:
    """Find the response in cycles of which the first hears the query's last word."""
    passes, seconds = 0, 0.0
    since: int | None = None  # forward passes since the decision
    decided = 0.0  # machine time until then
    for number, cycle in enumerate(cycles, start=1):
        for place, step in enumerate(cycle.steps):
            if cycle.decided == place:
                since = 0
                decided = seconds + (cycle.steps[place - 1].done if place else 0.0)
            passes += step.passes
            since = None if since is None else since + step.passes
            if step.speaks and (since is not None or not decides):
                came = seconds + step.done
                return Response(
                    passes, came, number, since, None if since is None else came - decided
                )
        seconds += cycle.seconds
    return None


@dataclass(frozen=True)
class AtOnce:
    """Cost of `sessions` conversations at once.

    Attributes:
        sessions: held at once.
        spoken: tokens of all answers.
        passes: forward passes of the model.
        single_passes: those that the same conversations take one by one.
        seconds: machine time.
        cache_bytes: of all rows.
    """

    sessions: int
    spoken: int
    passes: int
    single_passes: int
    seconds: float
    cache_bytes: int

    @property
    def rate(self) -> float:
        """Tokens spoken a second, all sessions together."""
        return self.spoken / self.seconds


def at_once(
    backbone: Backbone, sessions: int, steering: Steering, *, graphs: bool = False
) -> AtOnce:
    """Hold two conversations with `duo` for each row, all rows at once.

    They are held once before they are timed if there are graphs, which are recorded then.

    Args:
        backbone: the model.
        sessions: rows.
        steering: of the backbone.
        graphs: see `duo.decoding.batched.build_together`.
    """
    systems = build_together("duo", backbone, sessions, graphs=graphs, max_answer_seconds=ENDLESS)
    pool = systems[0].channels.pool
    scripts = [
        listening_while_speaking(_TOKENS[number % len(_TOKENS)])[0]
        for number in range(_WAVES * sessions)
    ]
    conversations = [partial(conversation, script=one, steering=steering) for one in scripts]
    if graphs:
        for _ in run_together(systems, conversations):
            pass
    before = pool.forward_passes
    began = time.perf_counter()
    runs = [one for _, one in run_together(systems, conversations)]
    seconds = time.perf_counter() - began
    return AtOnce(
        sessions=sessions,
        spoken=sum(cycle.spoken for one in runs for cycle in one.cycles),
        passes=pool.forward_passes - before,
        single_passes=sum(cycle.passes for one in runs for cycle in one.cycles),
        seconds=seconds,
        cache_bytes=pool.bytes,
    )
