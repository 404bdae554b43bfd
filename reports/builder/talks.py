"""Transcripts of a run: each conversation once, systems by names that tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from duo.speech import Conversation
from duo.transcript import Transcript, read_transcript
from evaluation.interaction.results import by_name
from reports.builder.evidence import Figures, Piece
from reports.builder.reader import Reader
from reports.builder.walk import File


def read_talks(reader: Reader, files: Sequence[File]) -> tuple[list[Piece[Transcript]], list[File]]:
    """Read transcripts.

    Returns:
        Those that are whole, each once; and the files of all that are no copy of another, which
        figures may be counted from even where something is wrong that they do not rest on.
    """
    talks, used = [], []
    first: dict[str, str] = {}
    copies = 0
    for file in files:
        with reader.about(file):
            name = reader.used(file)
            if first.setdefault(reader.digests[name], name) != name:
                del reader.digests[name]
                copies += 1
                continue
            used.append(file)
            talks.append(Piece(read_transcript(file.path), (name,)))
    if copies:
        reader.notes.append(f"{copies} transcripts are copies of others: each is counted once.")
    return talks, used


def labelled(talks: Sequence[Piece[Transcript]]) -> list[Piece[Transcript]]:
    """Transcripts whose systems' names tell apart what differs, as the interaction figures do.

    One system with several models or settings is several: `duo (lookahead=2)`. What is still the
    same in one scenario gets its seed or a number.
    """
    heads = {talk.name: talk.content.header for talk in talks}
    same = by_name(
        Conversation(
            file=name,
            system=head.system,
            model=head.model,
            scenario=head.scenario,
            cycle_seconds=head.cycle_seconds,
            utterances=(),
            answers=(),
            settings=head.settings,
        )
        for name, head in heads.items()
    )
    labels = {str(one.file): label for label, held in same.items() for one in held}
    seeds = {head.seed for head in heads.values()}
    taken: Counter[tuple[str, str]] = Counter()
    relabelled = []
    for talk in talks:
        head = talk.content.header
        label = labels[talk.name]
        if len(seeds) > 1:
            label = f"{label}, seed {head.seed}"
        taken[label, head.scenario] += 1
        if taken[label, head.scenario] > 1:
            label = f"{label} ({taken[label, head.scenario]})"
        relabelled.append(talk if label == head.system else _called(talk, label))
    return relabelled


def in_order(
    talks: Iterable[Piece[Transcript]], manifests: Iterable[Piece[Figures]]
) -> tuple[Piece[Transcript], ...]:
    """Transcripts by scenario, as a manifest lists these, then by name; then by system."""
    listed: dict[str, int] = {}
    for manifest in manifests:
        scenarios = manifest.content.get("scenarios")
        for name in scenarios if isinstance(scenarios, dict) else ():
            listed.setdefault(name, len(listed))

    def place(talk: Piece[Transcript]) -> tuple[int, str, str]:
        head = talk.content.header
        return listed.get(head.scenario, len(listed)), head.scenario, head.system

    return tuple(sorted(talks, key=place))


def _called(talk: Piece[Transcript], label: str) -> Piece[Transcript]:
    header = talk.content.header.model_copy(update={"system": label})
    return Piece(talk.content.model_copy(update={"header": header}), talk.files, talk.computed)
