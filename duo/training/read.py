"""Training data from a folder: `train.jsonl` and, if there is one, `validation.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from duo.data.sample import read_samples
from duo.data.slices import is_sliced
from duo.errors import BadInput
from duo.files import sha256
from duo.training.encode import NOT_LEARNED, Encoded, Encoder, TooLong
from duo.training.forget import unremembered
from duo.training.settings import IgnoredTurns, TrainSettings


@dataclass
class Split:
    """Encoded samples of one file, and what was left out of it.

    Attributes:
        samples: those that teach something; several of one, where ignored turns are forgotten.
        too_long: dropped, as their last exchange alone is longer than the maximum.
        empty: dropped, as nothing in them is learned.
        sha256: of the file.
    """

    samples: list[Encoded] = field(default_factory=list)
    too_long: int = 0
    empty: int = 0
    sha256: str = ""

    @property
    def facts(self) -> dict[str, int | str]:
        """For the manifest."""
        return {
            "samples": len(self.samples),
            "tokens": sum(map(len, self.samples)),
            "too_long": self.too_long,
            "nothing_to_learn": self.empty,
            "sha256": self.sha256,
        }


def read_split(
    path: Path,
    encoder: Encoder,
    settings: TrainSettings,
    limit: int | None = None,
    *,
    optional: bool = False,
) -> Split:
    """The samples of a file, encoded.

    Args:
        path: JSON Lines; samples (`duo.data.sample`), or for the `duplex` recipe records with
            `output`, a list of slices of user and assistant.
        encoder: for the tokenizer that is trained.
        settings: of the run.
        limit: how many samples are wanted at most.
        optional: whether there may be none, as in the validation split of few dialogues.

    Raises:
        BadInput: a line is malformed, a sample too long (where that is refused), or none is left.
    """
    split = Split(sha256=sha256(path) if path.is_file() else "")
    if settings.recipe == "duplex":
        found = _duplex(path, encoder)
    else:
        found = _duo(path, encoder, settings.ignored_turns)
    for name, encoded in found:
        if encoded is None:
            if settings.too_long == "refuse":
                raise BadInput(f"{name}: longer than {settings.max_tokens} tokens", file=path)
            split.too_long += 1
        elif _teaches(encoded, settings):
            split.samples.append(encoded)
            if limit is not None and len(split.samples) >= limit:
                break
        else:
            split.empty += 1
    if not split.samples and not optional:
        left_out = f" ({split.too_long} too long)" if split.too_long else ""
        raise BadInput(f"no samples to learn from{left_out}", file=path)
    return split


def _duo(
    path: Path, encoder: Encoder, ignored_turns: IgnoredTurns
) -> Iterator[tuple[str, Encoded | None]]:
    if is_sliced(path):
        raise BadInput("holds time slices, not samples: train with --recipe duplex", file=path)
    for sample in read_samples(path):
        for part, context in unremembered(sample) if ignored_turns == "forget" else [(sample, 0)]:
            try:
                yield part.id, encoder.sample(part, context)
            except TooLong:
                yield part.id, None


def _duplex(path: Path, encoder: Encoder) -> Iterator[tuple[str, Encoded | None]]:
    for number, slices in read_slices(path):
        try:
            yield f"line {number}", encoder.slices(slices)
        except TooLong:
            yield f"line {number}", None


def read_slices(path: Path) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Line number, and role and text of the slices, of each record of a Duplex-UltraChat file.

    Raises:
        BadInput: the file cannot be read, or a line is no such record.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    output = json.loads(line)["output"]
                    slices = [(slice["role"], slice["content"]) for slice in output]
                except (ValueError, KeyError, TypeError, RecursionError):
                    raise BadInput(
                        'is no record {"output": [{"role", "content"}, ...]}, which '
                        "duo data build --form duplex writes",
                        file=path,
                        line=number,
                        field="output",
                    ) from None
                for place, (role, text) in enumerate(slices):
                    at = f"output[{place}]"
                    if role not in ("user", "assistant"):
                        raise BadInput(
                            "must be user or assistant", file=path, line=number, field=f"{at}.role"
                        )
                    if not isinstance(text, str):
                        raise BadInput(
                            "is not a text", file=path, line=number, field=f"{at}.content"
                        )
                yield number, slices
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise BadInput(f"cannot read: {reason}", file=path) from error


def _teaches(encoded: Encoded, settings: TrainSettings) -> bool:
    learned = any(label != NOT_LEARNED for label in encoded.labels)
    return learned or (settings.inside != "none" and any(encoded.inside))
