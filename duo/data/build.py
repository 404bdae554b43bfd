"""Build a data set: OUT/train.jsonl, OUT/validation.jsonl and OUT/manifest.json.

First all sources are surveyed: how many dialogues can be trained on, and what they lend to one
another. Then the samples are made in parts of some hundred; a build that was stopped goes on after
the last part. Part and place of a sample follow from the settings alone, so the bytes are the same
whatever happened on the way. Samples are kept in memory until they are put in order; dialogues are
too if they are few, and otherwise the sources are read a second time.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256 as sha256_of
from pathlib import Path
from random import Random
from typing import Any, Generic, TypeVar

from duo.data.dialogue import Dialogue
from duo.data.english import sentences
from duo.data.filters import HeldOut, RemarkFilter, may_be_overheard, read_held_out, usable
from duo.data.plan import Draft, finish, plan
from duo.data.recipe import Recipe
from duo.data.sample import AssistantTurn, Sample, UserTurn, sample_line
from duo.data.sources import BACKGROUND_ONLY, Source, refuse
from duo.data.writers import Extractive, Overheard, Writer
from duo.errors import BadInput
from duo.files import OnBad, read_result, sha256, whole_file
from duo.runs import MANIFEST, Journal, Manifest, Stopwatch, check_same, fingerprint, write_manifest

TRAIN, VALIDATION = "train.jsonl", "validation.jsonl"

#: Goes up whenever the same settings give other bytes.
RECIPE_VERSION = 5

#: What is drawn from, and the words by which texts are judged.
_WORD_LISTS = [
    Path(__file__).with_name(name) for name in ("english.yaml", "phrases.yaml", "spoken.yaml")
]

_ATTEMPTS = 4  # of the writers for a place, and of a plan for a sample
#: Sentences and dialogues that are lent, kept for each side of the split.
_LENT_SENTENCES, _LENT_DIALOGUES = 6000, 300
#: No conversation has this number of pieces: a source that is one by its ids has other ids.
_PIECES = 50
_NAMED = 3  # bad records of a source
_TOLD_WORDS = 60  # most words of a turn that is told again
_KEPT_CHARACTERS = 100_000_000  # of dialogues in memory; with more, the sources are read again

#: Makes a line of a sample: in the samples' own form, or the baseline's.
Form = Callable[[Sample], str]
Progress = Callable[[str, int, int | None], None]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Job:
    """The data set that is to be built.

    Attributes:
        sources: read in this order.
        samples: how many; None for one of each dialogue.
        seed: of everything that is drawn.
        split_seed: of the split alone; None for `seed`. Data sets for stages of one training have
            the same one, or what one stage is validated on was trained on in another.
        validation: share of the conversations kept for validation, between 0 and 1.
        held_out: files of utterances never to be used.
        skip_bad: pass over records that are no dialogues; otherwise the first ends the build.
        writer: writes the remarks, given a folder for what it keeps; None for the extractive one.
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
    skip_bad: bool = True
    writer: Callable[[Path], Writer] | None = None
    form: Form = sample_line
    settings: Mapping[str, Any] = field(default_factory=dict)
    part_size: int = 500

    def facts(self) -> dict[str, Any]:
        """List what the bytes depend on."""
        recipe = asdict(self.recipe)
        if not recipe["paper"]:  # data sets of before there was another recipe do not say so
            del recipe["paper"]
        return {
            "recipe_version": RECIPE_VERSION,
            "samples": self.samples,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "validation": self.validation,
            "recipe": recipe,
            "sources": [{"name": source.name, **source.facts} for source in self.sources],
            "held_out": [{"file": path.name, "sha256": sha256(path)} for path in self.held_out],
            "part_size": self.part_size,
            "word_lists": {path.name: sha256(path) for path in _WORD_LISTS},
            **self.settings,
        }

    def in_validation(self, group: str) -> bool:
        """Tell the side of the split that a conversation is on."""
        split_seed = self.seed if self.split_seed is None else self.split_seed
        return in_validation(group, self.validation, split_seed)


def build(
    job: Job, *, progress: Progress = lambda what, done, of: None, warn: OnBad = lambda bad: None
) -> None:
    """Build the data set, go on with it, or leave it if it is there already.

    Args:
        progress: called with what is counted, how much is done, and how much there is, if known.
        warn: called with what is wrong with the first records of each source that are skipped.

    Raises:
        BadInput: nothing to train on, a record that is no dialogue, a folder with something else
            in it, a writer that cannot write.
    """
    watch = Stopwatch()
    held_out = read_held_out(job.held_out)
    facts = job.facts()
    hashed = fingerprint(**facts)
    unfinished = job.out / f".parts-{hashed[:16]}"
    if _is_there(job.out, facts, unfinished):
        return
    remarks = job.writer(unfinished) if job.writer else None  # may refuse: before hours of reading
    survey = survey_sources(job, held_out, warn=warn, progress=progress)
    make = _Maker(job, survey, held_out, remarks)
    wanted = job.samples or survey.found.total()
    parts = Journal(unfinished / "parts.jsonl")
    for number, picked in enumerate(_parts(job, survey, held_out, wanted)):
        if number == len(parts.records):
            parts.append(make.part(picked))
        progress("samples", min(wanted, (number + 1) * job.part_size), wanted)
    counts, dropped = Counter[str](), survey.dropped.copy()
    for part in parts.records:
        counts.update(part["counts"])
        dropped.update(part["dropped"])
    if not counts["train/samples/all"]:
        raise BadInput("no sample is left to train on: give more dialogues, or less validation")
    for name in (TRAIN, VALIDATION):
        # Each line comes with a random key, which makes the order.
        lines = sorted(line for part in parts.records for line in part[name])
        with whole_file(job.out / name) as stream:
            stream.writelines(f"{line}\n" for _, line in lines)
    write_manifest(
        job.out / MANIFEST,
        watch=watch,
        fingerprint=hashed,
        **facts,
        dialogues=dict(survey.found),
        bad_records=dict(survey.bad),
        counts=_nested(counts),
        dropped={reason: number for reason, number in sorted(dropped.items()) if number},
        writer_facts=getattr(remarks, "facts", {}),
        files={name: {"sha256": sha256(job.out / name)} for name in (TRAIN, VALIDATION)},
    )
    for left in job.out.glob(".parts-*"):
        shutil.rmtree(left, ignore_errors=True)


def _is_there(out: Path, facts: Mapping[str, Any], unfinished: Path) -> bool:
    """Tell whether the folder already holds this data set, complete.

    Raises:
        BadInput: another data set is, which is not written over; names the first setting that
            differs.
    """
    if out.exists() and not out.is_dir():
        raise BadInput("is not a folder", file=out)
    manifest = out / MANIFEST
    files = [out / name for name in (TRAIN, VALIDATION)]
    if not manifest.exists():
        if any(file.exists() for file in files) and not unfinished.exists():
            raise BadInput("the folder holds another data set: name another", file=out)
        return False
    found = read_result(manifest, Manifest).facts
    before = {name: found.get(name) for name in facts}
    check_same(_by_name(before), _by_name(facts), file=manifest)
    expected = found.get("files") or {}
    return all(
        file.exists() and expected.get(file.name) == {"sha256": sha256(file)} for file in files
    )


def _by_name(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Put sources and held-out files under their names, so that a difference names the file."""
    return {
        **facts,
        **{
            field: {each.get("name", each.get("file")): each for each in facts.get(field) or []}
            for field in ("sources", "held_out")
        },
    }


def _nested(counts: Counter[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Sort counts by side of the split, by what is counted, by its value."""
    nested: dict[str, dict[str, dict[str, int]]] = {}
    for key, number in sorted(counts.items()):
        side, what, value = key.split("/", 2)
        nested.setdefault(side, {}).setdefault(what, {})[value] = number
    return nested


def in_validation(group: str, share: float, seed: int) -> bool:
    """Draw the side of the split by a hash of a conversation's group, so that it stays together."""
    digest = sha256_of(f"{seed}/split/{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


# The survey: what there is, and what dialogues lend to one another.


class Reservoir(Generic[T]):
    """A uniform sample of a stream of unknown length."""

    def __init__(self, size: int, seed: str) -> None:
        self.kept: list[T] = []
        self._size, self._seen, self._random = size, 0, Random(seed)

    def offer(self, item: T) -> None:
        """Keep an item, perhaps, in place of another."""
        self._seen += 1
        if len(self.kept) < self._size:
            self.kept.append(item)
        elif (place := int(self._random.random() * self._seen)) < self._size:
            self.kept[place] = item


@dataclass
class Survey:
    """Counts and samples of all that the sources hold.

    Attributes:
        found: dialogues that can be trained on, by source.
        bad: records that are no dialogues, by source.
        first_bad: what is wrong with the first of them.
        dropped: why dialogues were cut or left out.
        overheard: sentences for background speech.
        told: whole turns of people who chat with each other, for statements and stories.
        others: by side of the split, dialogues for changes of topic.
        dialogues: all that can be trained on; None if they are too many for the memory.
        warn: called with what is wrong with the first bad records of each source.
    """

    found: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    first_bad: BadInput | None = None
    dropped: Counter[str] = field(default_factory=Counter)
    overheard: list[Overheard] = field(default_factory=list)
    told: list[Overheard] = field(default_factory=list)
    others: dict[bool, list[Dialogue]] = field(default_factory=dict)
    dialogues: list[Dialogue] | None = field(default_factory=list)
    warn: OnBad = lambda bad: None

    def skip(self, source: str, bad: BadInput) -> None:
        """Count a bad record, and name it if it is one of the first."""
        self.bad[source] += 1
        self.first_bad = self.first_bad or bad
        if self.bad[source] <= _NAMED:
            self.warn(bad)


def survey_sources(
    job: Job,
    held_out: HeldOut,
    *,
    warn: OnBad = lambda bad: None,
    progress: Progress = lambda what, done, of: None,
) -> Survey:
    """Read all sources once, as streams.

    Raises:
        BadInput: a record is no dialogue and such are not skipped; no dialogue can be trained on; a
            source is one conversation by its ids, and so cannot be split.
    """
    survey = Survey(warn=warn)
    sides = (False, True)
    heard = {s: Reservoir[Overheard](_LENT_SENTENCES, f"{job.seed}/heard/{s}") for s in sides}
    told = {s: Reservoir[Overheard](_LENT_SENTENCES, f"{job.seed}/told/{s}") for s in sides}
    others = {s: Reservoir[Dialogue](_LENT_DIALOGUES, f"{job.seed}/others/{s}") for s in sides}

    def listen(dialogue: Dialogue) -> None:
        side = job.in_validation(dialogue.group)
        # One sentence of each turn, so that long answers do not drown speech.
        for turn in dialogue.turns[:12]:
            said = [text for text in sentences(turn.text)[:6] if may_be_overheard(text)]
            if said:
                heard[side].offer(Overheard(said[len(turn.text) % len(said)], dialogue.group, side))
        if dialogue.source not in BACKGROUND_ONLY:
            return
        for turn in dialogue.turns:
            text = " ".join(turn.text.split())
            if may_be_overheard(text, _TOLD_WORDS) and text not in held_out:
                told[side].offer(Overheard(text, dialogue.group, side))

    groups: dict[str, set[str]] = {}  # the first two are enough to know that there are several
    characters = 0
    for dialogue in _usable_dialogues(job, held_out, survey, listen):
        others[job.in_validation(dialogue.group)].offer(dialogue)
        survey.found[dialogue.source] += 1
        progress("dialogues to use", survey.found.total(), None)
        seen = groups.setdefault(dialogue.source, set())
        if len(seen) < 2:
            seen.add(dialogue.group)
        if survey.dialogues is not None:
            survey.dialogues.append(dialogue)
            characters += sum(len(turn.text) for turn in dialogue.turns)
            if characters > _KEPT_CHARACTERS:
                survey.dialogues = None
    if not survey.found:
        bad = ""
        if survey.bad:
            bad = f" ({survey.bad.total()} bad records, the first: {survey.first_bad})"
        names = ", ".join(source.path for source in job.sources)
        raise BadInput(f"no dialogue here can be trained on{bad}", file=names)
    for source in job.sources:
        found = survey.found[source.name]
        if 0 < job.validation < 1 and found >= _PIECES and len(groups[source.name]) == 1:
            raise BadInput(
                f"its {found} dialogues count as pieces of one conversation, as their ids differ "
                "in nothing but a number after _: change the ids, or build with --validation 0",
                file=source.path,
                field="id",
            )
    survey.overheard = [text for side in sides for text in heard[side].kept]
    survey.told = [text for side in sides for text in told[side].kept]
    survey.others = {side: others[side].kept for side in sides}
    return survey


def _usable_dialogues(
    job: Job,
    held_out: HeldOut,
    survey: Survey,
    listen: Callable[[Dialogue], None] = lambda dialogue: None,
) -> Iterator[Dialogue]:
    """Read the dialogues of all sources that can be trained on, in order; the same each time.

    Args:
        listen: called with every dialogue, usable or not.
    """
    for source in job.sources:
        on_bad = partial(survey.skip, source.name) if job.skip_bad else refuse
        for dialogue in source.dialogues(on_bad):
            listen(dialogue)
            if source.name not in BACKGROUND_ONLY:
                found = usable(dialogue, job.recipe, held_out, survey.dropped)
                if found is not None:
                    yield found


# The samples, part by part.


def _parts(
    job: Job, survey: Survey, held_out: HeldOut, wanted: int
) -> Iterator[list[tuple[Dialogue, int]]]:
    """List the dialogues of each part, with the number of the variant."""
    part: list[tuple[Dialogue, int]] = []
    picks = spread(survey.found.total(), wanted, job.seed)
    pick = next(picks, None)
    dialogues: Iterable[Dialogue] | None = survey.dialogues
    if dialogues is None:
        dialogues = _usable_dialogues(job, held_out, Survey())
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
    """Draw `wanted` places among `there`, in order and evenly: one from each equal stretch."""
    for number in range(wanted):
        yield int((number + Random(f"{seed}/pick/{number}").random()) * there / wanted)


class _Maker:
    """Makes the samples of a part.

    Args:
        remarks: writes the remarks; None for the extractive writer, which writes the other kinds.
    """

    def __init__(self, job: Job, survey: Survey, held_out: HeldOut, remarks: Writer | None) -> None:
        self._job, self._others, self._held_out = job, survey.others, held_out
        self._extractive = Extractive(survey.overheard, survey.told)
        self._remarks = remarks or self._extractive

    def part(self, picked: Sequence[tuple[Dialogue, int]]) -> dict[str, Any]:
        """Make lines of both sides, each after the key that it is sorted by, and count them."""
        job = self._job
        remark_filter = RemarkFilter(self._held_out, longest=job.recipe.max_remark_words)
        lines: dict[str, list[list[str]]] = {TRAIN: [], VALIDATION: []}
        counts: Counter[str] = Counter()
        todo = picked
        for attempt in range(_ATTEMPTS):
            drafts = [self._draft(dialogue, variant, attempt) for dialogue, variant in todo]
            self._fill(drafts, remark_filter)
            again = []
            for pick, draft in zip(todo, drafts, strict=True):
                sample = finish(draft, job.recipe)
                if sample is None or any(user.content in self._held_out for user in _users(sample)):
                    remark_filter.dropped["sample_held_out" if sample else "sample_empty"] += 1
                    again.append(pick)
                    continue
                key = f"{job.seed}/order/{sample.source}/{sample.id}"
                name = VALIDATION if draft.validation else TRAIN
                lines[name].append([sha256_of(key.encode()).hexdigest(), job.form(sample)])
                counts.update(_counted(sample, name.removesuffix(".jsonl")))
            todo = again
        return {**lines, "counts": dict(counts), "dropped": dict(remark_filter.dropped)}

    def _draft(self, dialogue: Dialogue, variant: int, attempt: int) -> Draft:
        side = self._job.in_validation(dialogue.group)
        return plan(
            dialogue, variant=variant, recipe=self._job.recipe, seed=self._job.seed,
            validation=side, others=self._others[side], attempt=attempt,
        )  # fmt: skip

    def _fill(self, drafts: Iterable[Draft], remark_filter: RemarkFilter) -> None:
        """Write the turns that are open, and again those whose text the filter drops."""
        todo = [
            (draft, index, place) for draft in drafts for index, place in draft.places().items()
        ]
        for attempt in range(_ATTEMPTS):
            left = []
            for remarks, writer in ((True, self._remarks), (False, self._extractive)):
                mine = [each for each in todo if (each[2].kind == "remark") == remarks]
                texts = writer.write([place for _, _, place in mine], attempt) if mine else []
                for (draft, index, place), text in zip(mine, texts, strict=True):
                    if text and remark_filter.keeps(text, place.kind):
                        draft.turns[index].text = text
                    else:
                        left.append((draft, index, place))
            todo = left
        remark_filter.dropped["not_written"] += len(todo)


def _users(sample: Sample) -> list[UserTurn]:
    return [message for message in sample.messages if isinstance(message, UserTurn)]


def _counted(sample: Sample, split: str) -> Iterator[str]:
    """List what a sample counts for in the manifest."""
    yield f"{split}/samples/all"
    yield f"{split}/source/{sample.source}"
    for user in _users(sample):
        yield f"{split}/state/{user.state or 'none'}"
        yield f"{split}/kind/{user.kind}"
    for message in sample.messages:
        if isinstance(message, AssistantTurn):
            yield f"{split}/answer/{'complete' if message.complete else 'cut'}"
