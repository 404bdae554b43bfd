"""Define what the models of a design are made of; apart so that several files can use them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, pattern=r"\S", max_length=20_000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$", max_length=35)]


class Strict(BaseModel):
    """A part of a design: no unknown fields, nothing converted, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
