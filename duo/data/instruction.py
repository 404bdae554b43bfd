"""What a language model is asked when it writes non-query turns (the paper's section 3.1)."""

from __future__ import annotations

from pathlib import Path

from duo.data.nonqueries import Place
from duo.errors import BadInput

#: The paper's instruction in our words: coherent with the dialogue, from the user's side,
#: declarative, nothing that wants an answer, and nothing else in the reply.
INSTRUCTION = (
    "Below is a conversation between a user and an assistant. Write the one thing that the user "
    "might say next that does not need any reply: a remark, a reaction or a thought of their own. "
    "It must fit the conversation and be a statement, not a question, a request or an order. Use "
    "at most twenty spoken words. Reply with the user's words only, without quotation marks."
)
#: The last turns of a dialogue, and so many characters of each, are enough to remark on.
_TURNS, _CHARACTERS = 6, 1200


def read_instruction(path: Path | None) -> str:
    """The instruction in a file; ours without one.

    Raises:
        BadInput: it cannot be read, or is empty.
    """
    if path is None:
        return INSTRUCTION
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise BadInput(f"cannot read: {reason}", file=path, field="instruction") from error
    if not text:
        raise BadInput("is empty", file=path, field="instruction")
    return text


def conversation(place: Place) -> str:
    """The dialogue before a place, as text."""
    return "\n".join(
        f"{turn.role.capitalize()}: {' '.join(turn.text[:_CHARACTERS].split())}"
        for turn in place.before[-_TURNS:]
    )


def tidy(reply: str) -> str:
    """The remark in a model's reply: its first line, without a role or quotation marks."""
    lines = [line.strip() for line in reply.strip().splitlines() if line.strip()]
    text = lines[0] if lines else ""
    text = text.removeprefix("User:").removeprefix("user:").strip()
    if len(text) > 1 and text[0] in "\"'“‘" and text[-1] in "\"'”’":
        text = text[1:-1].strip()
    return "".join(character for character in text if character.isprintable())
