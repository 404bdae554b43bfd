"""Define the command-line options that several commands share: apart, as all rooms import it."""

from __future__ import annotations

from typing import Annotated

import typer

#: The chat format; None for what the model was trained in. The names are `duo.chatformat.STYLES`.
Chat = Annotated[
    str | None,
    typer.Option(
        "--chat",
        metavar="STYLE",
        help="The model's chat format: template, plain (the paper's) or minicpm [default: the one "
        "that it was trained in].",
        show_default=False,
    ),
]
