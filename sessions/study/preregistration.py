"""Write down what will be done before it is done, in one dated file.

It has the design, the hypotheses, the analysis plan and the rules of exclusion as the study's
design gives them, the seed, and hashes of the design and of every dialogue, so that anybody can
check later that nothing was changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from duo.errors import BadInput
from duo.files import write_text
from duo.runs import versions
from duo.table import Table
from sessions.study.store import raters, ratings
from sessions.study.study import Study, stored_items


def preregister(study: Study, path: Path | None = None, *, now: datetime | None = None) -> Path:
    """Write the preregistration.

    Args:
        path: the file; None for `preregistration-YYYY-MM-DD.md` in the study's folder.

    Returns:
        The file.

    Raises:
        BadInput: it exists already (it is never overwritten), or cannot be written.
    """
    now = now or datetime.now(UTC)
    path = path or study.folder / f"preregistration-{now:%Y-%m-%d}.md"
    if path.exists():
        raise BadInput("is there already, and is not overwritten", file=path)
    write_text(path, "\n".join(_lines(study, now)).rstrip() + "\n")
    return path


def _lines(study: Study, now: datetime) -> Iterator[str]:
    design = study.design
    text = design.as_yaml()
    real = _ratings_by_people(study)
    with study.database.read() as connection:
        rows = [
            [item.name, system, sha256]
            for item in stored_items(connection, study)
            if item.kind == "item"
            for system, sha256 in zip(item.systems, item.hashes, strict=True)
        ]
    yield f"# Preregistration: {design.title}"
    yield ""
    yield f"- written: {now.isoformat(timespec='seconds')}"
    yield f"- study: {study.name}"
    yield f"- ratings by people at that time: {real}" + (
        "" if not real else " (**data collection had begun**)"
    )
    yield f"- seed: {design.seed}"
    yield f"- sha256 of the design below: {hashlib.sha256(text.encode()).hexdigest()}"
    yield "- software: " + ", ".join(f"{name} {version}" for name, version in versions().items())
    yield ""
    yield "## Hypotheses"
    yield ""
    yield from (f"{n}. {one}" for n, one in enumerate(design.hypotheses or ["(none given)"], 1))
    yield ""
    yield "## Design"
    yield ""
    yield (
        f"{study.items} items, each rated by {design.raters_per_item} raters; "
        f"{study.pages_wanted} items a rater. Systems compared: {', '.join(study.systems)}. "
        f"For each rater {study.attention} attention checks and {design.checks.repeats} repeated "
        "items. Sides and orders are counterbalanced (Williams designs), assignment goes to the "
        "items with the fewest raters."
    )
    yield ""
    yield "Criteria:"
    yield ""
    for criterion in design.criteria:
        yield f"- **{criterion.name}**: {criterion.question} {criterion.definition}"
    yield ""
    yield "## Analysis"
    yield ""
    yield design.analysis.strip() or "(none given)"
    yield ""
    yield "## Exclusions"
    yield ""
    yield design.exclusions.strip() or "(none given)"
    yield ""
    yield "## Dialogues"
    yield ""
    yield Table("", ("item", "system", "sha256 of the transcript"), rows).markdown().rstrip()
    yield ""
    yield "## The design file"
    yield ""
    yield "````yaml"
    yield text.rstrip()
    yield "````"


def _ratings_by_people(study: Study) -> int:
    with study.database.read() as connection:
        return connection.execute(
            select(func.count())
            .select_from(ratings)
            .join(raters, ratings.c.rater_id == raters.c.id)
            .where(raters.c.study_id == study.id, raters.c.synthetic.is_(False))
        ).scalar_one()
