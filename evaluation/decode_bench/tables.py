"""The figures as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from duo.terminal import printable
from evaluation.decode_bench.figures import Figures

_NONE = "-"


def tables(found: Figures) -> list[Table]:
    """What `measure` found: costs, speed, responses, and many conversations at once."""
    made = [_costs(found), _speed(found), _responses(found)]
    return [*made, _together(found)] if found["together"] else made


def _costs(found: Figures) -> Table:
    table = Table(
        "system", "passes a token", "... listening", "tokens a pass", "peak memory", "cache",
        title=f"What decoding costs ({printable(found['model'])}, {found['dtype']})",
    )  # fmt: skip
    for name, figures in found["systems"].items():
        table.add_row(
            name,
            _number(figures["passes_per_token"]),
            _number(figures["passes_per_token_listening"]),
            _number(figures["tokens_per_pass"]),
            _megabytes(figures["peak_memory_bytes"]),
            _megabytes(figures["cache_bytes"]),
        )
    table.caption = (
        "Passes and tokens of a whole conversation, and of its part in which the user is heard "
        "over the answer; a token is one of the answer."
    )
    return table


def _speed(found: Figures) -> Table:
    table = Table(
        "system", "alone", "listening", "rate kept", "by products", "of generate()",
        "of the limit", "seconds",
        title="Tokens a second",
    )  # fmt: skip
    for name, figures in found["systems"].items():
        rates = figures["tokens_per_second"]
        table.add_row(
            name,
            _number(rates["alone"]["median"]),
            _number(rates["listening"]["median"]),
            _spread(figures["listening_rate"]),
            _number((figures.get("products_rate") or {}).get("median")),  # older files have none
            _spread(figures["against_generate"]),
            _spread(figures["share_of_limit"]),
            _number(figures["wall_seconds"]["median"]),
        )
    generate, limit = found["generate"]["tokens_per_second"], found["limit"]
    table.add_row("generate()", _number(generate["median"]))
    lines = [
        "Medians of the rounds, least and greatest in brackets. The limit is reading "
        f"{limit['weight_bytes'] / 1e6:.0f} MB of weights for each token at "
        f"{limit['bytes_per_second'] / 1e9:.1f} GB/s: {limit['tokens_per_second']:.1f} tokens/s.",
        "By products: what listening would leave of the rate if a forward pass were the products "
        "with weight matrices alone, measured on as many tokens.",
    ]
    against = found["systems"].get("duo", {}).get("against_sequential")
    if against is not None:
        lines.append(
            f"Listening while speaking, duo-sequential takes {against['passes']:.2f} times the "
            f"passes and {_spread(against['seconds'])} times the time of duo."
        )
    table.caption = " ".join(lines)
    return table


def _responses(found: Figures) -> Table:
    table = Table(
        "system", "query", "passes", "after the decision", "cycles", "machine ms",
        title="From the last word of a query to the first token of its answer",
    )  # fmt: skip
    for name, figures in found["systems"].items():
        for query, response in zip(("first", "interrupting"), figures["response"], strict=True):
            if response is None:
                table.add_row(name, query, "none in time", *[_NONE] * 3)
                continue
            after = response["passes_after_decision"]
            table.add_row(
                name,
                query,
                str(response["passes"]),
                _NONE if after is None else str(after),
                str(response["cycles"]),
                f"{1000 * response['seconds']['median']:.0f}",
            )
    return table


def _together(found: Figures) -> Table:
    table = Table(
        "at once", "tokens a second", "times the first", "passes", "one by one", "cache",
        title="Conversations held at once (duo)",
    )  # fmt: skip
    for figures in found["together"]:
        table.add_row(
            str(figures["sessions"]),
            _number(figures["tokens_per_second"]["median"]),
            _spread(figures["against_first"]),
            str(figures["passes"]),
            str(figures["single_passes"]),
            _megabytes(figures["cache_bytes"]),
        )
    return table


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def _spread(values: Figures) -> str:
    return f"{values['median']:.2f} ({values['low']:.2f}-{values['high']:.2f})"


def _megabytes(value: int | None) -> str:
    return _NONE if value is None else f"{value / 1e6:.0f} MB"
