"""Build a data set: OUT/train.jsonl, OUT/validation.jsonl and OUT/manifest.json.

The work is done in parts of some hundred samples, each written whole beside the results; a build
that was stopped goes on after the last one. Part and place of a sample follow from the settings
alone, so the bytes are the same whatever happened on the way.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256 as sha256_of
from pathlib import Path
from random import Random
from typing import Any

from duo.data.dialogue import Dialogue
from duo.data.drafts import Draft, finish, plan
from duo.data.filters import Filters, HeldOut, read_held_out
from duo.data.nonqueries import Extractive, Writer
from duo.data.recipe import Recipe
from duo.data.sample import Sample, UserTurn, sample_line
from duo.data.sources import Source
from duo.data.survey import Survey, in_validation, survey_sources, usable_dialogues
from duo.errors import BadInput
from duo.files import sha256, whole_file, write_text
from duo.runs import Stopwatch, write_manifest

TRAIN, VALIDATION, MANIFEST = "train.jsonl", "validation.jsonl", "manifest.json"

#: Goes up whenever the same settings give other bytes.
RECIPE_VERSION = 4

_ATTEMPTS = 4  # of the writers for a place
_BUCKET = 50_000  # samples that are put in order in memory

#: Makes a line of a sample: in the samples' own form, or the baseline's.
Form = Callable[[Sample], str]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to build.

    Attributes:
        sources: read in this order.
        out: the folder.
        samples: how many; None for one of each dialogue.
        seed: of everything that is drawn.
        split_seed: of the split alone; None for `seed`. Data sets for stages of one training have
            the same one, or what one stage is validated on was trained on in another.
        validation: share of the conversations kept for validation, between 0 and 1.
        recipe: rates and mix.
        held_out: files of utterances never to be used.
        skip_bad: pass over records that are no dialogues.
        writer: writes the remarks, given a folder for what it keeps; None for the extractive one.
        form: of the lines.
        settings: of writer and form, for the fingerprint and the manifest.
        part_size: samples of a part.
    """

    sources: Sequence[Source]
    out: Path
    samples: int | None = None
    seed: int = 0
    split_seed: int | None = None
    validation: float = 0.05
    recipe: Recipe = field(default_factory=Recipe)
    held_out: Sequence[Path] = ()
    skip_bad: bool = False
    writer: Callable[[Path], Writer] | None = None
    form: Form = sample_line
    settings: Mapping[str, Any] = field(default_factory=dict)
    part_size: int = 500

    @property
    def split(self) -> int:
        """The seed that the split is made with."""
        return self.seed if self.split_seed is None else self.split_seed

    def facts(self) -> dict[str, Any]:
        """What the bytes depend on."""
        return {
            "recipe_version": RECIPE_VERSION,
            "samples": self.samples,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "validation": self.validation,
            "recipe": asdict(self.recipe),
            "skip_bad": self.skip_bad,
            "sources": [{"name": source.name, **source.facts} for source in self.sources],
            "held_out": [{"file": path.name, "sha256": _hash(path)} for path in self.held_out],
            "part_size": self.part_size,
            **self.settings,
        }


def build(job: Job, *, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
    """Build the data set, go on with it, or leave it if it is there already.

    Args:
        job: what to build.
        progress: called with the number of samples done and of all.

    Raises:
        BadInput: nothing to train on, a record that is no dialogue, a folder with something else
            in it, a writer that cannot write.
    """
    watch = Stopwatch()
    facts = job.facts()
    fingerprint = sha256_of(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    if _is_there(job.out, fingerprint):
        return
    held_out = read_held_out(job.held_out)
    parts = _parts_folder(job.out, fingerprint)
    remarks = job.writer(parts) if job.writer else None  # may refuse: before hours of reading
    survey = survey_sources(
        job.sources, job.recipe, held_out,
        seed=job.seed, validation=job.validation, split_seed=job.split, skip_bad=job.skip_bad,
    )  # fmt: skip
    there = survey.found.total()
    wanted = job.samples or there
    writers = _Writers(Extractive(survey.overheard, survey.told), remarks)
    number = 0
    for number, picked in enumerate(_parts(job, held_out, there, wanted)):
        path = parts / f"{number:06}.json"
        if not path.exists():
            make = partial(_part, picked, job, survey, held_out, writers)
            write_text(path, json.dumps(make(), ensure_ascii=False))
        progress(min(wanted, (number + 1) * job.part_size), wanted)
    counts = _finish(job.out, parts, number + 1, wanted, job.seed)
    write_manifest(
        job.out / MANIFEST,
        watch=watch,
        fingerprint=fingerprint,
        **facts,
        dialogues=dict(survey.found),
        bad_records=dict(survey.bad),
        counts=_nested(counts),
        dropped=dict(sorted((survey.dropped + _only(counts, "dropped")).items())),
        writer_facts=getattr(writers.remarks, "facts", dict)(),
        files={name: {"sha256": sha256(job.out / name)} for name in (TRAIN, VALIDATION)},
    )
    for left in job.out.glob(".parts-*"):
        shutil.rmtree(left, ignore_errors=True)


class _Writers:
    """Who writes which kind."""

    def __init__(self, extractive: Extractive, remarks: Writer | None) -> None:
        self.extractive, self.remarks = extractive, remarks or extractive

    def fill(self, drafts: Iterable[Draft], filters: Filters) -> None:
        """Write the turns that are still open, and again those whose text the filters drop."""
        holes = [
            (draft, index, place) for draft in drafts for index, place in draft.places().items()
        ]
        for attempt in range(_ATTEMPTS):
            left = []
            for remarks, writer in ((True, self.remarks), (False, self.extractive)):
                mine = [hole for hole in holes if (hole[2].kind == "remark") == remarks]
                texts = writer.write([place for _, _, place in mine], attempt) if mine else []
                for (draft, index, place), text in zip(mine, texts, strict=True):
                    if text and filters.keeps(text, place.kind):
                        draft.turns[index].text = text
                    else:
                        left.append((draft, index, place))
            holes = left
        filters.dropped["not_written"] += len(holes)


def _is_there(out: Path, fingerprint: str) -> bool:
    """Whether this very data set is there, whole.

    Raises:
        BadInput: another data set is, which is not written over.
    """
    if out.exists() and not out.is_dir():
        raise BadInput("is not a folder", file=out)
    manifest = out / MANIFEST
    if not manifest.exists():
        if any((out / name).exists() for name in (TRAIN, VALIDATION)) and not (
            _parts_folder(out, fingerprint).exists()
        ):
            raise BadInput("the folder holds another data set: name another", file=out)
        return False
    try:
        content = json.loads(manifest.read_text("utf-8"))
        found, files = content["fingerprint"], content["files"]
        whole = all(
            (out / name).exists() and sha256(out / name) == files[name]["sha256"]
            for name in (TRAIN, VALIDATION)
        )
    except (OSError, ValueError, KeyError, TypeError):
        found, whole = None, False
    if found != fingerprint:
        raise BadInput(
            "the folder holds a data set with other settings or sources: name another",
            file=manifest,
        )
    return whole


def _parts_folder(out: Path, fingerprint: str) -> Path:
    return out / f".parts-{fingerprint[:16]}"


def _parts(
    job: Job, held_out: HeldOut, there: int, wanted: int
) -> Iterator[list[tuple[Dialogue, int]]]:
    """The dialogues of each part, with the number of the variant."""
    part: list[tuple[Dialogue, int]] = []
    picks = spread(there, wanted, job.seed)
    pick = next(picks, None)
    dialogues = usable_dialogues(job.sources, job.recipe, held_out, skip_bad=job.skip_bad)
    for place, dialogue in enumerate(dialogues):
        variant = 0
        while pick == place:
            part.append((dialogue, variant))
            variant += 1
            pick = next(picks, None)
            if len(part) == job.part_size:
                yield part
                part = []
        if pick is None:
            break
    if part:
        yield part


def spread(there: int, wanted: int, seed: int) -> Iterator[int]:
    """`wanted` places among `there`, in order and evenly: one drawn from each equal stretch."""
    for number in range(wanted):
        yield int((number + Random(f"{seed}/pick/{number}").random()) * there / wanted)


def _part(
    picked: list[tuple[Dialogue, int]],
    job: Job,
    survey: Survey,
    held_out: HeldOut,
    writers: _Writers,
) -> dict[str, Any]:
    """Lines of both sides, and counts."""
    filters = Filters(held_out, longest=job.recipe.max_remark_words)
    lines: dict[str, list[tuple[str, str]]] = {TRAIN: [], VALIDATION: []}
    counts: Counter[str] = Counter()
    todo = picked
    for attempt in range(_ATTEMPTS):
        drafts = [_draft(dialogue, variant, attempt, job, survey) for dialogue, variant in todo]
        writers.fill(drafts, filters)
        again = []
        for pick, draft in zip(todo, drafts, strict=True):
            sample = finish(draft, job.recipe)
            if sample is None or any(user.content in held_out for user in _users(sample)):
                filters.dropped["sample_held_out" if sample else "sample_empty"] += 1
                again.append(pick)
                continue
            name = VALIDATION if draft.validation else TRAIN
            order = sha256_of(f"{job.seed}/order/{sample.source}/{sample.id}".encode()).hexdigest()
            lines[name].append((order, job.form(sample)))
            counts.update(_counted(sample, name.removesuffix(".jsonl")))
        todo = again
    counts.update({f"dropped/{reason}": number for reason, number in filters.dropped.items()})
    return {**lines, "counts": dict(counts)}


def _draft(dialogue: Dialogue, variant: int, attempt: int, job: Job, survey: Survey) -> Draft:
    side = in_validation(dialogue.group, job.validation, job.split)
    return plan(
        dialogue, variant=variant, recipe=job.recipe, seed=job.seed, validation=side,
        others=survey.others[side], attempt=attempt,
    )  # fmt: skip


def _users(sample: Sample) -> list[UserTurn]:
    return [message for message in sample.messages if isinstance(message, UserTurn)]


def _counted(sample: Sample, split: str) -> Iterator[str]:
    """What a sample counts for in the manifest."""
    yield f"{split}/samples/all"
    yield f"{split}/source/{sample.source}"
    for user in _users(sample):
        yield f"{split}/state/{user.state or 'none'}"
        yield f"{split}/kind/{user.kind}"
    for message in sample.messages:
        if message.role == "assistant":
            yield f"{split}/answer/{'complete' if message.complete else 'cut'}"


def _finish(out: Path, parts: Path, number: int, wanted: int, seed: int) -> Counter[str]:
    """Put the samples of all parts in a random order, with bounded memory; returns the counts."""
    counts: Counter[str] = Counter()
    for part in range(number):
        counts.update(json.loads((parts / f"{part:06}.json").read_text("utf-8"))["counts"])
    if not counts["train/samples/all"]:
        raise BadInput("no sample is left to train on: give more dialogues, or less validation")
    buckets = 1 + wanted // _BUCKET
    for name in (TRAIN, VALIDATION):
        with ExitStack() as stack:
            files = [
                stack.enter_context((parts / f"bucket-{index}").open("w", encoding="utf-8"))
                for index in range(buckets)
            ]
            for part in range(number):
                content = json.loads((parts / f"{part:06}.json").read_text("utf-8"))
                for order, line in content[name]:
                    files[int(order[:8], 16) * buckets >> 32].write(f"{order} {line}\n")
        with whole_file(out / name) as stream:
            for index in range(buckets):
                lines = (parts / f"bucket-{index}").read_text("utf-8").split("\n")[:-1]
                stream.writelines(f"{line.partition(' ')[2]}\n" for line in sorted(lines))
    return counts


def _only(counts: Counter[str], prefix: str) -> Counter[str]:
    return Counter(
        {
            key.removeprefix(f"{prefix}/"): number
            for key, number in counts.items()
            if key.startswith(f"{prefix}/")
        }
    )


def _nested(counts: Counter[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Counts by side of the split, by what is counted, by its value."""
    nested: dict[str, dict[str, dict[str, int]]] = {}
    for key, number in sorted(counts.items()):
        if not key.startswith("dropped/"):
            side, what, value = key.split("/", 2)
            nested.setdefault(side, {}).setdefault(what, {})[value] = number
    return nested


def _hash(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise BadInput(f"cannot read: {error.strerror}", file=path) from error
