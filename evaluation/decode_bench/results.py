"""Describe what `duo bench decode` finds, and tabulate it; torch is not needed to read it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Annotated, Literal

from pydantic import Field

from duo.files import Record, Result
from duo.table import NONE, Cell, Column, Table

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(ge=0)]


class Spread(Record):
    """Median, least and greatest of the rounds' values."""

    median: Positive
    low: Positive
    high: Positive

    @property
    def cell(self) -> Cell:
        """The median for a table, with least and greatest in brackets."""
        text = f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"
        return Cell(self.median, text, parts={"low": self.low, "high": self.high})


def spread(values: Sequence[float]) -> Spread:
    """Summarise the rounds' values."""
    return Spread(median=median(values), low=min(values), high=max(values))


class Counts(Record):
    """Counts of forward passes, of the tokens they carried, and of tokens spoken in answers."""

    passes: Count
    tokens: Count
    spoken: Count


class PartCounts(Record):
    """Counts of a conversation.

    Attributes:
        all: of the whole conversation.
        listening: of its part in which the user is heard over the answer.
        quiet: of the same part of its twin, in which nobody speaks over the answer.
    """

    all: Counts
    listening: Counts
    quiet: Counts


class Rates(Record):
    """Tokens of the answer spoken a second: while nobody speaks, and see `PartCounts`."""

    alone: Spread | None = None
    listening: Spread | None = None
    quiet: Spread | None = None


class ResponseCost(Record):
    """From hearing the last word of a query to the first token of its answer.

    Attributes:
        passes_after_decision: those since the query was recognised as one; None where the system
            takes no such decision.
        cycles: that began meanwhile, that of the last word included.
    """

    passes: Count
    passes_after_decision: Count | None = None
    cycles: Count
    seconds: Spread


class AgainstSequential(Record):
    """Passes and time of the published scheme as multiples of `duo`'s."""

    passes: Positive
    seconds: Spread


class SystemCost(Record):
    """What decoding with one system costs.

    Attributes:
        counts: of the first round: greedy decoding repeats them exactly.
        passes_per_token, passes_per_token_listening, tokens_per_pass: ratios of the counts.
        tokens_per_second: see `Rates`.
        listening_rate: the ratio of the rates `listening` and `quiet`.
        products_rate: what that would be if a forward pass were its products with weight matrices
            alone; None for a system whose steps take several passes.
        response: to each query; None where there was none in time.
        against_generate, share_of_limit: the rate `alone` over that of `generate()` and over the
            limit.
        against_sequential: of `duo` alone.
    """

    counts: PartCounts | None = None
    passes_per_token: Positive | None = None
    passes_per_token_listening: Positive | None = None
    tokens_per_pass: Positive | None = None
    tokens_per_second: Rates = Rates()
    listening_rate: Spread
    products_rate: Spread | None = None
    wall_seconds: Spread
    peak_memory_bytes: Count | None = None
    cache_bytes: Count | None = None
    response: tuple[ResponseCost | None, ...] = ()
    against_generate: Spread
    share_of_limit: Spread
    against_sequential: AgainstSequential | None = None


class Generate(Record):
    """The speed of transformers' own `generate()` on the same prompt."""

    tokens_per_second: Spread


class Limit(Record):
    """The rate of a decoder that does nothing but read all weights for each token."""

    weight_bytes: Count
    bytes_per_second: Positive
    tokens_per_second: Positive


class Together(Record):
    """Many conversations at once.

    Attributes:
        passes: forward passes; `single_passes` are those of the same conversations one by one.
        cache_bytes: of all rows.
        against_first: the same over that of the first number of sessions.
    """

    sessions: Annotated[int, Field(ge=1)]
    spoken: Count = 0
    passes: Count = 0
    single_passes: Count = 0
    cache_bytes: Count | None = None
    tokens_per_second: Spread
    against_first: Spread


class DecodeBench(Result):
    """The JSON of `duo bench decode`."""

    kind: Literal["decode-bench"] = "decode-bench"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    model: str = ""
    device: str = ""
    dtype: str = ""
    attention: str = ""
    graphs: bool = False
    threads: Count = 0
    rounds: Count = 0
    tokens: Count = 0
    conversation_seconds: Positive = 0.0
    versions: dict[str, str] = Field(default={})
    limit: Limit
    generate: Generate
    systems: dict[str, SystemCost]
    together: tuple[Together, ...] = ()


class EngineCost(Record):
    """What a way of computing costs.

    Attributes:
        alone, listening: tokens spoken a second, while nobody speaks over the answer and while the
            user does; of llama.cpp alone, those of one of two answers side by side.
        first_token: seconds of computing from the last word of a question to the first token of the
            answer; and after_decision: those of them that come after it was decided on.
        against_bare, listening_against_bare: both as a share of llama.cpp's in the same round.
    """

    alone: Spread
    listening: Spread | None = None
    prefill: Spread
    first_token: Spread | None = None
    after_decision: Spread | None = None
    weight_bytes: Count
    cache_bytes: Count
    against_bare: Spread
    listening_against_bare: Spread | None = None


class EngineBench(Result):
    """A model in several engines, in one run."""

    kind: Literal["engine-bench"] = "engine-bench"
    model: str
    threads: int
    tried: dict[int, Positive]
    torch_threads: int
    rounds: int
    tokens: int
    versions: dict[str, str]
    engines: dict[str, EngineCost]


def decode_tables(found: DecodeBench) -> list[Table]:
    """Tabulate costs, speed, responses, and many conversations at once."""
    made = [_costs(found), _speed(found), _responses(found)]
    return [*made, _together(found)] if found.together else made


def _costs(found: DecodeBench) -> Table:
    names = ("passes a token", "... listening", "tokens a pass")
    return Table(
        f"What decoding costs ({found.model}, {found.dtype})",
        [
            "system", *(Column(name, "number", ".2f") for name in names),
            Column("peak memory", "number", megabytes), Column("cache", "number", megabytes),
        ],
        [
            (name, one.passes_per_token, one.passes_per_token_listening, one.tokens_per_pass,
             one.peak_memory_bytes, one.cache_bytes)
            for name, one in found.systems.items()
        ],
        [
            "Passes and tokens of a whole conversation, and of its part in which the user is heard "
            "over the answer; a token is one of the answer."
        ],
    )  # fmt: skip


def _speed(found: DecodeBench) -> Table:
    rows: list[list[Cell | str | float | None]] = [
        [
            name, median_of(one.tokens_per_second.alone),
            median_of(one.tokens_per_second.listening),
            one.listening_rate.cell, median_of(one.products_rate), one.against_generate.cell,
            one.share_of_limit.cell, one.wall_seconds.median,
        ]
        for name, one in found.systems.items()
    ]  # fmt: skip
    rows.append(["generate()", found.generate.tokens_per_second.median, *[None] * 6])
    names = (
        "alone", "listening", "rate kept", "by products", "of generate()", "of the limit", "seconds"
    )  # fmt: skip
    notes = [
        "Medians of the rounds, least and greatest in brackets. The limit is reading "
        f"{found.limit.weight_bytes / 1e6:.0f} MB of weights for each token at "
        f"{found.limit.bytes_per_second / 1e9:.1f} GB/s: "
        f"{found.limit.tokens_per_second:.1f} tokens/s.",
        "By products: what listening would leave of the rate if a forward pass were the products "
        "with weight matrices alone, measured on as many tokens.",
    ]
    duo = found.systems.get("duo")
    if duo is not None and (against := duo.against_sequential) is not None:
        notes.append(
            f"Listening while speaking, duo-sequential takes {against.passes:.2f} times the "
            f"passes and {against.seconds.cell.text} times the time of duo."
        )
    columns = [Column(name, "number", ".2f") for name in names]
    return Table("Tokens a second", ["system", *columns], rows, notes)


def _responses(found: DecodeBench) -> Table:
    rows: list[list[Cell | str | float | None]] = []
    for name, one in found.systems.items():
        for query, response in zip(("first", "interrupting"), one.response, strict=False):
            if response is None:
                rows.append([name, query, Cell(None, "none in time"), None, None, None])
                continue
            rows.append(
                [
                    name, query, response.passes, response.passes_after_decision, response.cycles,
                    1000 * response.seconds.median,
                ]
            )  # fmt: skip
    columns: list[Column | str] = [
        "system", "query", "passes", "after the decision", "cycles",
        Column("machine ms", "number", ".0f"),
    ]  # fmt: skip
    return Table("From the last word of a query to the first token of its answer", columns, rows)


def _together(found: DecodeBench) -> Table:
    return Table(
        "Conversations held at once (duo)",
        [
            Column("at once", "number"), Column("tokens a second", "number", ".2f"),
            "times the first", "passes", "one by one", Column("cache", "number", megabytes),
        ],
        [
            (one.sessions, one.tokens_per_second.median, one.against_first.cell, one.passes,
             one.single_passes, one.cache_bytes)
            for one in found.together
        ],
    )  # fmt: skip


def median_of(values: Spread | None) -> float | None:
    return None if values is None else values.median


def megabytes(value: float | None) -> str:
    return NONE if value is None else f"{value / 1e6:.0f} MB"
