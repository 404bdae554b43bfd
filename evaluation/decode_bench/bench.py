"""`duo bench decode`: all systems on the same model and conversations, round by round in turns.

A machine is never equally fast for long. So each round runs every system once, and what is compared
is compared within a round; medians of the rounds are shown, and the ratios with their spread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from duo.backbone import Backbone
from duo.decoding.graphs import check_graphs
from duo.decoding.systems import SYSTEM_NAMES, build
from duo.errors import BadInput, check_choice
from duo.files import check_writable, write_text
from duo.runs import versions
from evaluation.decode_bench import figures as fig
from evaluation.decode_bench.drive import Steering, drive
from evaluation.decode_bench.machine import (
    PeakMemory,
    generate_seconds,
    product_seconds,
    read_bandwidth,
    weight_bytes,
)
from evaluation.decode_bench.many import Together, together
from evaluation.decode_bench.script import TOKENS_PER_SECOND, Script, listening_while_speaking
from evaluation.decode_bench.tables import tables

_GENERATE = "generate"
_NOW = "{task.description}"
_ENDLESS = 10**6  # tokens: answers last as long as the script
#: What a second of the conversation adds to a context at most: words, answer, openings of turns.
_TOKENS_A_SECOND = 24


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        systems: names of ours.
        rounds: how often each runs.
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
        """How often something is measured in all."""
        return self.rounds * (len(set(self.systems)) + 1 + len(self.sessions))

    def check(self) -> None:
        """Make sure that it can be done.

        Raises:
            BadInput: no or unknown systems, or less than one round, 8 tokens or one session.
        """
        if not self.systems:
            raise BadInput("no system is given", field="systems")
        for system in self.systems:
            check_choice("systems", system, SYSTEM_NAMES)
        numbers = [("rounds", self.rounds, 1), ("tokens", self.tokens, 8)]
        for field, value, least in [*numbers, *(("sessions", n, 1) for n in self.sessions)]:
            if value < least:
                raise BadInput(f"must be {least} or more, not {value}", field=field)


def decode_bench(
    model: str,
    plan: Plan,
    *,
    out: Path | None = None,
    console: Console | None = None,
    **load_settings: Any,
) -> fig.Figures:
    """Measure, print tables, and write all figures.

    Args:
        model: see `duo.backbone.load`.
        plan: what to measure.
        out: JSON file; None for none.
        console: where tables go; standard output by default.
        load_settings: of `duo.backbone.load`.

    Raises:
        BadInput: of the plan, the model or the file.
    """
    plan.check()
    if out is not None:
        check_writable(out.parent, wanted=out)
    from duo.backbone import load

    backbone = load(model, **load_settings)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(_NOW),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=plan.runs)

        def begins(name: str) -> None:
            bar.update(task, description=name)

        found = measure(backbone, plan, begins=begins, ends=lambda: bar.advance(task))
    if out is not None:
        write_text(out, json.dumps(found, indent=1) + "\n")
    for table in tables(found):
        (console or Console()).print(table)
    return found


def measure(
    backbone: Backbone,
    plan: Plan,
    *,
    begins: Callable[[str], None] = lambda name: None,
    ends: Callable[[], None] = lambda: None,
) -> fig.Figures:
    """All figures of a plan.

    Args:
        backbone: the model of all systems.
        plan: what to measure.
        begins, ends: called around each run, `begins` with its name.
    """
    if plan.graphs:
        check_graphs(backbone.model)
    talk, quiet = _scripts(backbone, plan)
    steering = Steering(backbone)
    systems = list(dict.fromkeys(plan.systems))
    entrants = [*systems, _GENERATE]
    rounds: dict[str, list[fig.Round]] = {system: [] for system in systems}
    products: dict[str, list[float]] = {system: [] for system in systems}
    many: dict[int, list[Together]] = {count: [] for count in plan.sessions}
    generated: list[float] = []
    lengths = {system: _built(backbone, system).cycle_seconds for system in systems}
    bandwidth, weights = 0.0, weight_bytes(backbone)
    prompt, tokens = _same_for_generate(backbone, quiet)
    for entrant in entrants:  # first runs are slow: memory is allocated, kernels are chosen
        if entrant == _GENERATE:
            generate_seconds(backbone, prompt, 4)
        else:
            drive(_built(backbone, entrant), replace(quiet, seconds=10.0), steering)
    for number in range(plan.rounds):
        turn = number % len(entrants)
        bandwidth = max(bandwidth, read_bandwidth(backbone.device, weights))
        for entrant in entrants[turn:] + entrants[:turn]:
            begins(entrant)
            if entrant == _GENERATE:
                generated.append(1 / generate_seconds(backbone, prompt, tokens))
            else:
                one = _round(backbone, entrant, steering, talk, quiet)
                rounds[entrant].append(one)
                course = fig.Course(talk, quiet, lengths[entrant])
                if needed := fig.shapes(one, course):
                    seconds = product_seconds(backbone, needed)
                    products[entrant].append(fig.rate_of_products(one, course, seconds))
            ends()
        for count in plan.sessions:
            begins(f"{count} at once")
            many[count].append(together(backbone, count, steering, graphs=plan.graphs))
            ends()
    return {
        **_circumstances(backbone, plan, talk),
        **_limits(backbone, bandwidth, generated),
        "systems": _by_system(
            rounds, products, generated, bandwidth / weights, (talk, quiet), lengths
        ),
        "together": _together(list(many.values())),
    }


def _scripts(backbone: Backbone, plan: Plan) -> tuple[Script, Script]:
    """The talk and its quiet twin.

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
    """The quiet twin as `generate()` gets it: the prompt, and how many tokens answer it."""
    chat, question = backbone.chat, quiet.utterances[0]
    turn = chat.user_turn("".join(question.words), backbone.states.respond)
    tokens = TOKENS_PER_SECOND * int(quiet.seconds - question.ends[-1] - 1)
    return [*chat.preamble, *turn, *chat.assistant_open], tokens


def _round(
    backbone: Backbone, system: str, steering: Steering, talk: Script, quiet: Script
) -> fig.Round:
    alone = drive(_built(backbone, system), quiet, steering)
    peak = PeakMemory(backbone.device)
    both = drive(_built(backbone, system), talk, steering)
    return fig.Round(both, alone, peak.bytes)


def _built(backbone: Backbone, system: str) -> Any:
    longest: dict[str, Any] = {} if system == "duplex" else {"max_answer_tokens": _ENDLESS}
    return build(system, backbone, **longest)


def _circumstances(backbone: Backbone, plan: Plan, talk: Script) -> fig.Figures:
    return {
        "schema": 1,
        "model": backbone.name,
        "device": str(backbone.device),
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "attention": backbone.model.config._attn_implementation,
        "graphs": plan.graphs,
        "threads": torch.get_num_threads(),
        "rounds": plan.rounds,
        "tokens": plan.tokens,
        "conversation_seconds": talk.seconds,
        "versions": versions(),
    }


def _limits(backbone: Backbone, bandwidth: float, generated: Sequence[float]) -> fig.Figures:
    """What no decoder that reads all weights for each token can exceed, and `generate()`."""
    weights = weight_bytes(backbone)
    return {
        "limit": {
            "weight_bytes": weights,
            "bytes_per_second": bandwidth,
            "tokens_per_second": bandwidth / weights,
        },
        "generate": {"tokens_per_second": fig.spread(generated)},
    }


def _by_system(
    rounds: Mapping[str, Sequence[fig.Round]],
    products: Mapping[str, Sequence[float]],
    generated: Sequence[float],
    limit: float,
    scripts: tuple[Script, Script],
    lengths: Mapping[str, float],
) -> dict[str, fig.Figures]:
    """Each system's figures, compared with `generate()`, the limit and the published scheme."""
    found = {}
    for system, own in rounds.items():
        course = fig.Course(*scripts, lengths[system])
        figures = fig.system_figures(own, course)
        rates = [tokens / seconds for tokens, seconds in (fig.alone(one.quiet) for one in own)]
        pairs = zip(rates, generated, strict=True)
        figures["against_generate"] = fig.spread([rate / other for rate, other in pairs])
        figures["share_of_limit"] = fig.spread([rate / limit for rate in rates])
        kept = products[system]  # none for a system whose steps take several passes
        figures["products_rate"] = fig.spread(kept) if kept else None
        if system == "duo" and "duo-sequential" in rounds:
            figures["against_sequential"] = fig.against_sequential(
                own, rounds["duo-sequential"], course
            )
        found[system] = figures
    return found


def _together(many: Sequence[Sequence[Together]]) -> list[fig.Figures]:
    """What holding many conversations at once brings, against the first number of them."""
    return [
        {
            "sessions": same[0].sessions,
            "spoken": same[0].spoken,
            "passes": same[0].passes,
            "single_passes": same[0].single_passes,
            "cache_bytes": same[0].cache_bytes,
            "tokens_per_second": fig.spread([one.rate for one in same]),
            "against_first": fig.spread(
                [one.rate / first.rate for one, first in zip(same, many[0], strict=True)]
            ),
        }
        for same in many
    ]
