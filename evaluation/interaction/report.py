"""All figures of all systems, as plain data: what `duo eval interaction --out` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from duo.errors import BadInput
from duo.speech import Conversation
from evaluation.interaction import metrics, waste
from evaluation.interaction.bootstrap import LEVEL, RESAMPLES, SEED, Estimate, Resamples
from evaluation.interaction.events import BEHAVIOURS, KINDS, Outcome, outcomes_of

SCHEMA = 1
Figures = dict[str, Any]


def report(conversations: Sequence[Conversation], left_out: Iterable[BadInput] = ()) -> Figures:
    """The figures of every system, whatever the order of its conversations.

    Returns:
        `systems`: by name, each with the figures of `figures`; `events`: every event of every
        system and what became of it; `left_out`: transcripts that could not be scored.
    """
    named = by_name(conversations)
    outcomes = {name: [o for c in held for o in outcomes_of(c)] for name, held in named.items()}
    return {
        "schema": SCHEMA,
        "intervals": {
            "method": "percentile bootstrap over scenarios",
            "level": LEVEL,
            "resamples": RESAMPLES,
            "seed": SEED,
        },
        "scored": len(conversations),
        "left_out": [
            {"file": str(error.file), "line": error.line, "problem": str(error)}
            for error in left_out
        ],
        "systems": {name: figures(held, outcomes[name]) for name, held in named.items()},
        "events": [
            {"system": name, **_event(outcome)} for name in named for outcome in outcomes[name]
        ],
    }


def figures(conversations: Sequence[Conversation], outcomes: Sequence[Outcome]) -> Figures:
    """The figures of one system.

    A figure is `{value, low, high, n}`. Shares are between 0 and 1, latencies by unit and quantile.
    Queries that were `overtaken` (see `duo.speech.Exchange`) are in no figure.
    """
    draws = Resamples(c.scenario for c in conversations)
    kinds = [*KINDS, *sorted({o.kind for o in outcomes} - set(KINDS))]
    takeovers = {kind: draws.mean(metrics.takeover(outcomes, kind)) for kind in kinds}
    first = conversations[0]
    shares: dict[str, Estimate] = {
        "averaged": metrics.averaged(takeovers),
        "false_interruptions": draws.mean(metrics.false_interruptions(outcomes)),
        "missed_queries": draws.mean(metrics.missed_queries(outcomes)),
        "premature_answers": draws.mean(metrics.premature_answers(outcomes)),
        "resumed_intact": draws.mean(metrics.resumed_intact(outcomes)),
        "stops_obeyed": draws.mean(metrics.stops_obeyed(outcomes)),
        "overlap": draws.ratio(metrics.overlap(conversations)),
    }
    wasted = {
        "tokens_after_onset": draws.mean(waste.tokens_after_onset(outcomes)),
        "passes_per_word": draws.ratio(waste.passes_per_word(conversations)),
        "passes_per_token": draws.ratio(waste.passes_per_token(conversations)),
        "processed_per_token": draws.ratio(waste.processed_per_token(conversations)),
        "dropped_per_word": draws.ratio(waste.dropped_per_word(conversations)),
    }
    return {
        "system": first.system,
        "model": first.model,
        "settings": dict(first.settings),
        "conversations": len(conversations),
        "scenarios": len(draws.scenarios),
        "events": len(outcomes),
        "overtaken": sum(exchange.overtaken for one in conversations for exchange in one.exchanges),
        "takeover": _json(takeovers),
        "takeover_latency": _json(
            {
                kind: draws.mean(metrics.takeover_latency(outcomes, kind))
                for kind in ("turn_end", "interruption")
            }
        ),
        **_json(shares),
        "behaviour": {
            kind: _json({b: draws.mean(metrics.behaviour(outcomes, kind, b)) for b in BEHAVIOURS})
            for kind in kinds
            if kind not in ("pause", "turn_end")
        },
        "response_latency": {
            unit: _quantiles(draws, metrics.response_latency(outcomes, unit))
            for unit in metrics.UNITS
        },
        "stop_latency": {
            unit: _quantiles(draws, metrics.stop_latency(outcomes, unit)) for unit in metrics.UNITS
        },
        "words_after_onset": draws.mean(metrics.words_after_onset(outcomes)).as_json(),
        "waste": _json(wasted),
        "confusion": metrics.confusion(outcomes),
    }


def by_name(conversations: Iterable[Conversation]) -> dict[str, list[Conversation]]:
    """Conversations by system, systems and conversations in order of their names.

    One system with several models or settings is several: what differs is added to its name, as in
    `duo (lookahead=2)`.
    """
    groups: dict[str, dict[str, list[Conversation]]] = {}
    for one in conversations:
        made_of = json.dumps({"model": one.model, **one.settings}, sort_keys=True, default=str)
        groups.setdefault(one.system, {}).setdefault(made_of, []).append(one)
    named: dict[str, list[Conversation]] = {}
    for system, variants in sorted(groups.items()):
        contents = {made_of: json.loads(made_of) for made_of in variants}
        keys = sorted(set().union(*contents.values()))
        missing = object()
        differing = [
            key
            for key in keys
            if any(c.get(key, missing) != next(iter(contents.values())).get(key, missing)
                   for c in contents.values())
        ]  # fmt: skip
        for made_of, held in sorted(variants.items()):
            known = [key for key in differing if key in contents[made_of]]
            added = ", ".join(f"{key}={_short(contents[made_of][key])}" for key in known)
            name = f"{system} ({added or 'default'})" if len(variants) > 1 else system
            named[name] = sorted(held, key=lambda c: (c.scenario, str(c.file)))
    return named


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _event(outcome: Outcome) -> Figures:
    """An outcome for a file: what is needed to plot it, without the words."""
    return {
        "scenario": outcome.scenario,
        "file": outcome.file,
        "utterance": outcome.utterance,
        "kind": outcome.kind,
        "category": outcome.category,
        "wanted": outcome.wanted,
        "done": outcome.done,
        "behaviour": outcome.behaviour,
        "start": outcome.start,
        "end": outcome.end,
        "overlapped": outcome.overlapped,
        "taken": outcome.taken,
        "given_up": outcome.given_up,
        "premature": outcome.premature,
        "replied": outcome.replied,
        "intact": outcome.intact,
        "response": None if outcome.response is None else asdict(outcome.response),
        "stop": None if outcome.stop is None else asdict(outcome.stop),
        "words_after_onset": outcome.words_after_onset,
        "tokens_after_onset": outcome.tokens_after_onset,
    }


def _json(estimates: dict[str, Estimate]) -> Figures:
    return {name: found.as_json() for name, found in estimates.items()}


def _quantiles(draws: Resamples, samples: list[tuple[str, float]]) -> Figures:
    return _json({"p50": draws.quantile(samples, 0.5), "p90": draws.quantile(samples, 0.9)})
