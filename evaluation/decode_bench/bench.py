"""Measure what decoding costs: all systems on the same conversations, round by round in turns.

A machine is never equally fast for long. So each round runs every system once, and what is compared
is compared within a round; medians of the rounds are shown, and the ratios with their spread.
Counts of passes and tokens are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from duo.backbone import Backbone
from duo.decoding.fused import check_graphs
from duo.decoding.systems import SYSTEM_NAMES, build
from duo.errors import BadInput, check_choice
from duo.runs import versions
from duo.terminal import progress
from evaluation.decode_bench.drive import (
    ENDLESS,
    TOKENS_PER_SECOND,
    AtOnce,
    Cycle,
    Response,
    Run,
    Script,
    Shape,
    Steering,
    at_once,
    drive,
    listening_while_speaking,
    responses,
)
from evaluation.decode_bench.machine import (
    PeakMemory,
    generate_seconds,
    product_seconds,
    read_bandwidth,
    weight_bytes,
)
from evaluation.decode_bench.results import (
    AgainstSequential,
    Counts,
    DecodeBench,
    Generate,
    Limit,
    PartCounts,
    Rates,
    ResponseCost,
    SystemCost,
    Together,
    spread,
)

_GENERATE = "generate"
#: Tokens that a second of the conversation adds to a context at most: words, answer, openings of
#: turns.
_TOKENS_A_SECOND = 24


@dataclass(frozen=True)
class Plan:
    """The measurements to make.

    Attributes:
        tokens: of the answer before the user speaks over it, and about as many while.
        sessions: numbers of conversations held at once, which are compared with the first.
        graphs: whether those run CUDA graphs.
    """

    systems: Sequence[str] = SYSTEM_NAMES
    rounds: int = 5
    tokens: int = 48
    sessions: Sequence[int] = (1, 2, 4, 8)
    graphs: bool = False

    @property
    def runs(self) -> int:
        """Number of single measurements."""
        return self.rounds * (len(set(self.systems)) + 1 + len(self.sessions))

    def check(self) -> None:
        """Refuse to measure no or unknown systems; the command line checks the numbers.

        Raises:
            BadInput: no or unknown systems, or less than one round, 8 tokens or one session.
        """
        if not self.systems:
            raise BadInput("no system is given", field="systems")
        for system in self.systems:
            check_choice("systems", system, SYSTEM_NAMES)


def decode_bench(model: str, plan: Plan, **load_settings: Any) -> DecodeBench:
    """Load a model and measure it, showing progress.

    Raises:
        BadInput: of the plan or the model.
    """
    plan.check()
    from duo.backbone import load

    backbone = load(model, **load_settings)
    with progress(total=plan.runs) as bar:
        return measure(backbone, plan, begins=lambda name: bar.update(what=name), ends=bar.advance)


@dataclass(frozen=True)
class Round:
    """The runs of one system in one round.

    Attributes:
        talk, quiet: the conversation and its quiet twin.
        peak_bytes: of memory in `talk`; None if unknown.
    """

    talk: Run
    quiet: Run
    peak_bytes: int | None


def measure(
    backbone: Backbone,
    plan: Plan,
    *,
    begins: Callable[[str], None] = lambda name: None,
    ends: Callable[[], None] = lambda: None,
) -> DecodeBench:
    """Measure all that a plan asks for, calling `begins` with the name of each run, and `ends`."""
    if plan.graphs:
        check_graphs(backbone.model)
    talk, quiet = make_scripts(backbone, plan)
    systems = list(dict.fromkeys(plan.systems))
    for system in systems:  # some name control tokens of their own
        ready(backbone, system)
    steering = Steering(backbone)
    candidates = [*systems, _GENERATE]
    rounds: dict[str, list[Round]] = {system: [] for system in systems}
    products: dict[str, list[float]] = {system: [] for system in systems}
    many: dict[int, list[AtOnce]] = {count: [] for count in plan.sessions}
    generated: list[float] = []
    bandwidth, weights = 0.0, weight_bytes(backbone)
    prompt, tokens = _same_for_generate(backbone, quiet)
    stop = sorted(backbone.chat.stop)
    for candidate in candidates:  # first runs are slow: memory is allocated, kernels are chosen
        if candidate == _GENERATE:
            generate_seconds(backbone.model, prompt, 4, stop=stop)
        else:
            drive(ready(backbone, candidate), replace(quiet, seconds=10.0), steering)
    for number in range(plan.rounds):
        turn = number % len(candidates)
        bandwidth = max(bandwidth, read_bandwidth(backbone.device, weights))
        for candidate in candidates[turn:] + candidates[:turn]:
            begins(candidate)
            if candidate == _GENERATE:
                took = generate_seconds(backbone.model, prompt, tokens, stop=stop)
                generated.append(1 / took)
            else:
                one = _round(backbone, candidate, steering, talk, quiet)
                rounds[candidate].append(one)
                if needed := shapes(one):
                    seconds = product_seconds(backbone, needed)
                    products[candidate].append(rate_of_products(one, seconds))
            ends()
        for count in plan.sessions:
            begins(f"{count} at once")
            many[count].append(at_once(backbone, count, steering, graphs=plan.graphs))
            ends()
    limit = Limit(
        weight_bytes=weights, bytes_per_second=bandwidth, tokens_per_second=bandwidth / weights
    )
    costs = {
        system: system_cost(own, generated, limit, products[system])
        for system, own in rounds.items()
    }
    if "duo" in rounds and "duo-sequential" in rounds:
        against = against_sequential(rounds["duo"], rounds["duo-sequential"])
        costs["duo"] = costs["duo"].model_copy(update={"against_sequential": against})
    return DecodeBench(
        model=backbone.name,
        device=str(backbone.device),
        dtype=backbone.number_format,
        attention=backbone.model.config._attn_implementation,
        graphs=plan.graphs,
        threads=torch.get_num_threads(),
        rounds=plan.rounds,
        tokens=plan.tokens,
        conversation_seconds=talk.seconds,
        versions=versions(),
        limit=limit,
        generate=Generate(tokens_per_second=spread(generated)),
        systems=costs,
        together=tuple(_together(list(many.values()))),
    )


def make_scripts(backbone: Backbone, plan: Plan) -> tuple[Script, Script]:
    """Make the talk and its quiet twin; refuse what does not fit into the model's context.

    Raises:
        BadInput: they do not fit into the model's context, whichever system hears them.
    """
    talk, quiet = listening_while_speaking(plan.tokens)
    if talk.seconds * _TOKENS_A_SECOND > backbone.max_tokens:
        raise BadInput(
            f"{plan.tokens} are too many for a context of {backbone.max_tokens}", field="tokens"
        )
    return talk, quiet


def _same_for_generate(backbone: Backbone, quiet: Script) -> tuple[list[int], int]:
    """Make the quiet twin's prompt for `generate()`, and count the tokens of its answer."""
    chat, question = backbone.chat, quiet.utterances[0]
    turn = chat.user_turn("".join(question.words), backbone.states.respond)
    tokens = TOKENS_PER_SECOND * int(quiet.seconds - question.ends[-1] - 1)
    return [*chat.preamble, *turn, *chat.assistant_open], tokens


def _round(
    backbone: Backbone, system: str, steering: Steering, talk: Script, quiet: Script
) -> Round:
    alone = drive(ready(backbone, system), quiet, steering)
    peak = PeakMemory(backbone.device)
    both = drive(ready(backbone, system), talk, steering)
    return Round(both, alone, peak.bytes)


def ready(backbone: Backbone, system: str, **settings: Any) -> Any:
    """Make a system; `duo` looks ahead as the paper has it, where `decide_at` need not."""
    if system in ("duo", "duo-sequential"):
        settings["decide_at"] = None
    return build(system, backbone, max_answer_seconds=ENDLESS, **settings)


def alone(run: Run) -> tuple[int, float]:
    """Count tokens and seconds of the answer while nobody speaks, its first cycle left out."""
    speaking = [cycle for cycle in run.cycles if cycle.spoken and not cycle.heard][1:]
    return sum(cycle.spoken for cycle in speaking), sum(cycle.seconds for cycle in speaking)


def system_cost(
    rounds: Sequence[Round], generated: Sequence[float], limit: Limit, products: Sequence[float]
) -> SystemCost:
    """Compute the cost of a system; `generated` and `products` are rates, one for each round."""
    first = rounds[0]
    every = _counts(first.talk.cycles)
    listening = _counts(first.talk.over_the_answer)
    quiet = _counts(first.quiet.over_the_answer)
    rates = [_rates(one) for one in rounds]
    peaks = [one.peak_bytes for one in rounds if one.peak_bytes is not None]
    by_round = [responses(one.talk) for one in rounds]
    return SystemCost(
        counts=PartCounts(all=every, listening=listening, quiet=quiet),
        passes_per_token=_ratio(every.passes, every.spoken),
        passes_per_token_listening=_ratio(listening.passes, listening.spoken),
        tokens_per_pass=_ratio(every.tokens, every.passes),
        tokens_per_second=Rates(
            **{name: spread([rate[name] for rate in rates]) for name in rates[0]}
        ),
        listening_rate=spread([rate["listening"] / rate["quiet"] for rate in rates]),
        products_rate=spread(products) if products else None,
        wall_seconds=spread([one.talk.seconds for one in rounds]),
        peak_memory_bytes=max(peaks, default=None),
        cache_bytes=max(one.talk.cache_bytes for one in rounds),
        response=tuple(_response(same) for same in zip(*by_round, strict=True)),
        against_generate=spread(
            [rate["alone"] / other for rate, other in zip(rates, generated, strict=True)]
        ),
        share_of_limit=spread([rate["alone"] / limit.tokens_per_second for rate in rates]),
    )


def _counts(cycles: Sequence[Cycle]) -> Counts:
    return Counts(
        passes=sum(cycle.passes for cycle in cycles),
        tokens=sum(cycle.tokens for cycle in cycles),
        spoken=sum(cycle.spoken for cycle in cycles),
    )


def _ratio(over: float, under: float) -> float | None:
    return over / under if under else None


def _rates(one: Round) -> dict[str, float]:
    """Compute tokens a second; see `Rates`."""
    tokens, seconds = alone(one.quiet)
    rates = {"alone": tokens / seconds}
    for name, run in (("listening", one.talk), ("quiet", one.quiet)):
        cycles = run.over_the_answer
        rates[name] = sum(c.spoken for c in cycles) / sum(c.seconds for c in cycles)
    return rates


def _response(same: Sequence[Response | None]) -> ResponseCost | None:
    """Combine one response of all rounds."""
    found = [response for response in same if response is not None]
    if not found:
        return None
    return ResponseCost(
        passes=found[0].passes,
        passes_after_decision=found[0].after_decision,
        cycles=found[0].cycles,
        seconds=spread([response.seconds for response in found]),
    )


def shapes(one: Round) -> set[Shape]:
    """List the forward passes where the user is heard over the answer, and in the quiet twin.

    None if some steps take several: how their tokens are divided among these is the system's own.
    """
    cycles = [*one.talk.over_the_answer, *one.quiet.over_the_answer]
    steps = [step for cycle in cycles for step in cycle.steps if step.passes]
    return {step.shape for step in steps} if all(step.passes == 1 for step in steps) else set()


def rate_of_products(one: Round, seconds: Mapping[Shape, float]) -> float:
    """Compute the share of its rate that a system would keep if its products were all it did.

    Args:
        seconds: of the products of each forward pass, see `shapes`.
    """
    rates = []
    for run in (one.talk, one.quiet):
        cycles = run.over_the_answer
        took = sum(seconds[step.shape] for c in cycles for step in c.steps if step.passes)
        rates.append(sum(c.spoken for c in cycles) / took)
    return rates[0] / rates[1]


def against_sequential(fused: Sequence[Round], sequential: Sequence[Round]) -> AgainstSequential:
    """Compute how much more the published scheme takes where it listens while it speaks.

    Both systems had the same cycles, and the rounds are compared one by one.
    """
    passes, seconds = [], []
    for one, other in zip(fused, sequential, strict=True):
        mine, its = one.talk.over_the_answer, other.talk.over_the_answer
        passes.append(sum(c.passes for c in its) / sum(c.passes for c in mine))
        seconds.append(sum(c.seconds for c in its) / sum(c.seconds for c in mine))
    return AgainstSequential(passes=passes[0], seconds=spread(seconds))


def _together(many: Sequence[Sequence[AtOnce]]) -> list[Together]:
    """Summarise conversations held at once, against the first number of them."""
    return [
        Together(
            sessions=same[0].sessions,
            spoken=same[0].spoken,
            passes=same[0].passes,
            single_passes=same[0].single_passes,
            cache_bytes=same[0].cache_bytes,
            tokens_per_second=spread([one.rate for one in same]),
            against_first=spread(
                [one.rate / first.rate for one, first in zip(same, many[0], strict=True)]
            ),
        )
        for same in many
    ]
