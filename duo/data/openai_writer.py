"""Remarks written by a model behind an OpenAI-compatible endpoint, as the paper did.

Endpoint and key come from OPENAI_BASE_URL and OPENAI_API_KEY. Every reply is kept in a file of the
build's folder as it comes, so that a build that was stopped asks, and pays, only for the rest.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

from duo.data.instruction import conversation, tidy
from duo.data.nonqueries import Place
from duo.errors import BadInput
from duo.terminal import printable

_CONCURRENCY, _RETRIES, _TIMEOUT = 8, 6, 60.0
_MOST_TOKENS = 60
_CACHE = "replies.jsonl"


class OpenAIWriter:
    """Writes remarks, several at a time, never faster than allowed.

    Args:
        model: as the endpoint calls it.
        folder: where replies are kept.
        instruction: what the model is asked.
        requests_per_minute: limit over all requests.
        prices: dollars for a million tokens in and out, if the cost is to be shown.
        client: in place of the one that the environment describes.
        sleep, clock: for tests.

    Raises:
        BadInput: there is no key in the environment; or, from `write`, the endpoint refuses or
            cannot be reached after several attempts. What was written so far is kept.
    """

    def __init__(
        self,
        model: str,
        *,
        folder: Path,
        instruction: str,
        requests_per_minute: float,
        prices: tuple[float, float] | None = None,
        client: Any = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._instruction, self._prices = model, instruction, prices
        self._client = client or _client()
        self._lock = threading.Lock()
        self._every, self._next = 60.0 / requests_per_minute, 0.0
        self._sleep, self._clock = sleep, clock
        self._limit = "max_tokens"
        self._path = folder / _CACHE
        self._replies = _kept(self._path)

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest: the tokens that all replies took, in this build and before."""
        tokens_in, tokens_out = (
            sum(reply[side] for reply in self._replies.values()) for side in ("in", "out")
        )
        facts: dict[str, Any] = {
            "requests": len(self._replies),
            "tokens_in": tokens_in,
            "tokens_out": tokens_out,
        }
        if self._prices is not None:
            dollars = (tokens_in * self._prices[0] + tokens_out * self._prices[1]) / 1e6
            facts["cost"] = f"${dollars:.4f}"
        else:
            facts["cost"] = f"{tokens_in} tokens in, {tokens_out} out"
        return facts

    def write(self, places: Sequence[Place], attempt: int) -> list[str]:
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            asked = [pool.submit(self._remark, place, attempt) for place in places]
            try:
                return [tidy(found.result()) for found in asked]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _remark(self, place: Place, attempt: int) -> str:
        messages = [
            {"role": "system", "content": self._instruction},
            {"role": "user", "content": conversation(place)},
        ]
        asked = json.dumps([self._model, messages, place.seed, attempt])
        key = sha256(asked.encode()).hexdigest()
        if key not in self._replies:
            reply = self._ask(messages, seed=int(key[:7], 16))
            with self._lock:
                self._replies[key] = reply
                self._keep(key, reply)
        return str(self._replies[key]["text"])

    def _ask(self, messages: list[dict[str, str]], seed: int) -> dict[str, Any]:
        import openai

        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + self._every
        if start > now:
            self._sleep(start - now)
        try:
            done = self._complete(messages, seed)
            text = done.choices[0].message.content or ""
        except openai.AuthenticationError:
            raise BadInput("the endpoint refuses the key in OPENAI_API_KEY") from None
        except openai.APIConnectionError as error:
            raise BadInput(
                f"cannot reach the endpoint ({error.message.rstrip('.')}): check OPENAI_BASE_URL "
                "and the network, then give the same command again to go on"
            ) from None
        except openai.APIStatusError as error:
            passing = error.status_code >= 500 or error.status_code in (408, 429)
            raise BadInput(
                f"the endpoint answers with an error ({error.status_code}: "
                f"{printable(error.message[:200])}); "
                + ("the same command goes on" if passing else "check --writer-model and the key")
            ) from None
        except (openai.OpenAIError, AttributeError, IndexError, TypeError, ValueError) as error:
            raise BadInput(
                f"the endpoint's answer makes no sense ({type(error).__name__})"
            ) from error
        used = done.usage
        return {
            "text": text,
            "in": getattr(used, "prompt_tokens", 0) or 0,
            "out": getattr(used, "completion_tokens", 0) or 0,
        }

    def _complete(self, messages: list[dict[str, str]], seed: int) -> Any:
        """One completion; the limit of its length has two names, of which most know the first."""
        import openai

        for name in (self._limit, "max_completion_tokens"):
            try:
                return self._client.chat.completions.create(
                    model=self._model, messages=messages, seed=seed, **{name: _MOST_TOKENS}
                )
            except openai.BadRequestError as error:
                if name != "max_tokens" or "max_tokens" not in error.message:
                    raise
                self._limit = "max_completion_tokens"
        raise AssertionError("the second name is the last")

    def _keep(self, key: str, reply: dict[str, Any]) -> None:
        """Append a reply; a line that a kill tears is passed over when the file is read."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"key": key, **reply}) + "\n")
        except OSError as error:
            raise BadInput(f"cannot write: {error.strerror}", file=self._path) from error


def _client() -> Any:
    import openai

    if not os.environ.get("OPENAI_API_KEY"):
        raise BadInput("OPENAI_API_KEY is not set, which --writer openai needs")
    # The client waits between its attempts as the endpoint tells it to, and longer each time.
    try:
        return openai.OpenAI(max_retries=_RETRIES, timeout=_TIMEOUT)
    except Exception as error:  # of the HTTP library, whichever that is, for no address
        raise BadInput(f"OPENAI_BASE_URL is no address: {printable(str(error))}") from error


def _kept(path: Path) -> dict[str, dict[str, Any]]:
    """Replies of an earlier run; a torn last line gets an end, so that the next stands alone."""
    replies: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return replies
    content = path.read_bytes()
    for line in content.splitlines():
        try:
            reply = json.loads(line)
            replies[reply.pop("key")] = {name: reply[name] for name in ("text", "in", "out")}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    if content and not content.endswith(b"\n"):
        with path.open("ab") as lines:
            lines.write(b"\n")
    return replies
