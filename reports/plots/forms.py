"""What charts need of the JSON that commands write; what else is there is not looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from duo.errors import BadInput

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(ge=0)]
Act = Literal["respond", "ignore", "wait"]
Vote = Literal["win", "tie", "both_bad", "loss"]
Scalar = str | int | float | bool | None


class Form(BaseModel):
    """Checked strictly; numbers are finite."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


class Versioned(Form):
    """A file of schema 1."""

    version: Literal[1] = Field(alias="schema")


class Estimate(Form):
    """A number with its interval; None where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: Count = 0
    note: str = ""


# ---- duo report statistics


class P(Form):
    """A p value, and Holm's."""

    p: Share | None = None
    p_holm: Share | None = None


class Comparison(Form):
    """Two systems on one criterion."""

    first: str
    second: str
    votes: dict[Vote, Count]
    dialogues: Count
    raters: Count
    estimates: dict[str, Estimate]
    preference: P
    note: str = ""


class Standing(Form):
    """One system among all on one criterion."""

    system: str
    score: Estimate
    rank: Count
    ranks: Annotated[list[Count], Field(min_length=2, max_length=2)]
    first: Share | None = None


class Scores(Form):
    """All systems on one criterion."""

    standings: list[Standing] = []
    note: str = ""


class Criterion(Form):
    """One criterion."""

    criterion: str
    comparisons: list[Comparison]
    scores: Scores | None = None
    note: str = ""


class Findings(Form):
    """All criteria."""

    ratings: Count
    raters: Count
    dialogues: Count
    criteria: list[Criterion]


class Study(Versioned):
    """`statistics.json`."""

    source: str = ""
    level: Share = 0.95
    cluster: str = "item"
    systems: list[str]
    excluded: list[Any] = []
    synthetic: Count = 0
    notices: list[str] = []
    kept: Findings


# ---- duo eval states


class Found(Form):
    """A share of cases."""

    share: Share | None
    low: Share
    high: Share
    hits: Count
    n: Count


class State(Form):
    """How well one outcome is found."""

    precision: Share | None = None
    recall: Share | None = None
    f1: Share | None = None


class Bin(Form):
    """Cases of about the same probability."""

    n: Annotated[int, Field(ge=1)]
    probability: Share
    share: Share


class Calibration(Form):
    """Probabilities against what was right."""

    ece: Share | None
    n: Count
    bins: list[Bin]


class Case(Form):
    """One utterance."""

    label: str
    wanted: Act
    p_respond: Share = 0.0
    p_ignore: Share = 0.0
    early: list[Act] = []


class Data(Form):
    """The file that was judged."""

    file: str = ""


class OfUtterances(Versioned):
    """What a model did with the utterances of a file."""

    model: str = ""
    data: Data = Data()
    n: Count

    @property
    def about(self) -> str:
        """The utterances and the model, for a caption."""
        data = f" of {self.data.file}" if self.data.file else ""
        model = f", model {self.model}" if self.model else ""
        return f"{self.n} utterances{data}{model}"


class States(OfUtterances):
    """The JSON of `duo eval states`."""

    lookahead: Count = 0
    states: dict[Act, State] = {}
    confusion: dict[Act, dict[Act, Count]]
    labels: dict[str, dict[Act, Found]] = {}
    calibration: Calibration | None = None
    cases: list[Case] = []


# ---- duo eval probe


class Told(Form):
    """One label at one point of a probe's curve."""

    wanted: Act
    n: Count
    right: Share
    area: Share | None = None


class ProbePoint(Form):
    """What a probe of so many labelled utterances tells apart; of none: the model itself."""

    labelled: Count
    labels: dict[str, Told]


class Probe(OfUtterances):
    """The JSON of `duo eval probe`."""

    answered: Count
    folds: Count
    curve: list[ProbePoint]


# ---- duo eval interaction


class Intervals(Form):
    """How intervals were made."""

    method: str = ""
    level: Share = 0.95


class Quantiles(Form):
    """Of a latency."""

    p50: Estimate
    p90: Estimate | None = None


class System(Form):
    """One system's figures."""

    conversations: Count = 0
    scenarios: Count = 0
    events: Count = 0
    takeover: dict[str, Estimate] = {}
    false_interruptions: Estimate = Estimate(value=None)
    response_latency: dict[str, Quantiles] = {}
    stop_latency: dict[str, Quantiles] = {}


class Latency(Form):
    """A latency of one event."""

    seconds: Positive


class Event(Form):
    """One event and what became of it."""

    system: str
    kind: str = ""
    response: Latency | None = None
    stop: Latency | None = None


class Interaction(Form):
    """The JSON of `duo eval interaction`."""

    version: Literal[1, 2] = Field(alias="schema")
    intervals: Intervals = Intervals()
    scored: Count = 0
    left_out: list[Any] = []
    systems: dict[str, System]
    events: list[Event] = []


# ---- duo bench sweep, scored (see `reports.plots.sweep_scores`)


class SweepPoint(Form):
    """One set of settings, and what the recordings with it came to."""

    name: str
    swept: dict[str, Scalar]
    left_out: Count = 0
    systems: dict[str, System] = {}


class Sweep(Versioned):
    """All points of a sweep."""

    intervals: Intervals = Intervals()
    systems: list[str] = []
    scenarios: Count = 0
    points: list[SweepPoint]


# ---- duo train


class Training(Form):
    """`training.json`; a line of the curve holds what was known at that step."""

    settings: dict[str, Any] = {}
    model: str = ""
    steps: Count = 0
    curve: list[dict[str, Any]]


class Moment(Form):
    """A line of the curve."""

    step: Positive
    loss_state: Positive | None = None
    loss_output: Positive | None = None
    eval_loss_state: Positive | None = None
    eval_loss_output: Positive | None = None
    eval_state_accuracy: Share | None = None


# ---- duo bench decode


class Spread(Form):
    """Median, least and greatest of the rounds."""

    median: Positive
    low: Positive
    high: Positive


class Rates(Form):
    """Tokens a second: while nobody speaks, and while the user is heard over the answer."""

    alone: Spread | None = None
    listening: Spread | None = None


class Cost(Form):
    """One system's cost."""

    passes_per_token: Positive | None = None
    passes_per_token_listening: Positive | None = None
    tokens_per_second: Rates = Rates()


class Generate(Form):
    """transformers' own generate()."""

    tokens_per_second: Spread | None = None


class Limit(Form):
    """What reading the weights for each token allows."""

    tokens_per_second: Positive | None = None


class Together(Form):
    """Many conversations at once."""

    sessions: Annotated[int, Field(ge=1)]
    tokens_per_second: Spread


class Decode(Versioned):
    """The JSON of `duo bench decode`."""

    model: str = ""
    device: str = ""
    dtype: str = ""
    threads: Count = 0
    rounds: Count = 0
    generate: Generate = Generate()
    limit: Limit = Limit()
    systems: dict[str, Cost]
    together: list[Together] = []


_Form = TypeVar("_Form", bound=Form)


def checked(form: type[_Form], content: object, within: str = "") -> _Form:
    """Content as a form.

    Args:
        form: what it should be.
        content: parsed JSON, or a form already.
        within: the place that the content stands at.

    Raises:
        BadInput: it is not of this form; names the first field that is wrong.
    """
    if isinstance(content, form):
        return content
    if not isinstance(content, Mapping):
        raise BadInput("is not a JSON object", field=within or None)
    from duo.errors import problems

    try:
        return form.model_validate(dict(content))
    except ValidationError as error:
        problem = next(problems(error))
        field = f"{within}.{problem.field}" if within and problem.field else problem.field or within
        raise BadInput(problem.message, field=field or None) from None
