"""Write down what will be done before it is done, in one dated file.

It has the design, the hypotheses, the analysis plan and the rules of exclusion as the study's
design gives them, the seed, and hashes of the design and of every dialogue, so that anybody can
check later that nothing was changed.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from duo.errors import BadInput
from duo.files import write_text
from duo.runs import versions
from duo.table import Table
from sessions.study.study import Study, stored_items
from sessions.study.tables import raters, ratings


def preregister(study: Study, path: Path | None = None, *, now: datetime | None = None) -> Path:
    """Write the preregistration; return its path.

    Args:
        path: of the file; None for `preregistration-YYYY-MM-DD.md` in the study's folder.

    Raises:
        BadInput: it exists already (it is never overwritten), or cannot be written.
    """
    now = now or datetime.now(UTC)
    path = path or study.folder / f"preregistration-{now:%Y-%m-%d}.md"
    if path.exists():
        raise BadInput("is there already, and is not overwritten", file=path)
    write_text(path, _text(study, now))
    return path


def _text(study: Study, now: datetime) -> str:
    design, real = study.design, _ratings_by_people(study)
    text = design.as_yaml()
    begun = " (**data collection had begun**)" if real else ""
    software = ", ".join(f"{name} {version}" for name, version in versions().items())
    hypotheses = "\n".join(f"{n}. {one}" for n, one in enumerate(design.hypotheses, 1))
    criteria = "\n".join(f"- **{c.name}**: {c.question} {c.definition}" for c in design.criteria)
    with study.database.read() as connection:
        rows = [
            [item.name, system, sha256]
            for item in stored_items(connection, study)
            if item.kind == "item"
            for system, sha256 in zip(item.systems, item.hashes, strict=True)
        ]
    dialogues = Table("", ("item", "system", "sha256 of the transcript"), rows).markdown()
    return f"""# Preregistration: {design.title}

- written: {now.isoformat(timespec="seconds")}
- study: {study.name}
- ratings by people at that time: {real}{begun}
- seed: {design.seed}
- sha256 of the design below: {hashlib.sha256(text.encode()).hexdigest()}
- software: {software}

## Hypotheses

{hypotheses or "1. (none given)"}

## Design

{study.items} items, each rated by {design.raters_per_item} raters; {study.pages_wanted} items a \
rater. Systems compared: {", ".join(study.systems)}. For each rater {study.attention} attention \
checks and {study.repeats} repeated items. Sides and orders are counterbalanced (Williams \
designs), assignment goes to the items with the fewest raters.

Criteria:

{criteria}

## Analysis

{design.analysis.strip() or "(none given)"}

## Exclusions

{design.exclusions.strip() or "(none given)"}

## Dialogues

{dialogues.strip()}

## The design file

````yaml
{text.rstrip()}
````
"""


def _ratings_by_people(study: Study) -> int:
    with study.database.read() as connection:
        return connection.execute(
            select(func.count())
            .select_from(ratings)
            .join(raters, ratings.c.rater_id == raters.c.id)
            .where(raters.c.study_id == study.id, raters.c.synthetic.is_(False))
        ).scalar_one()
