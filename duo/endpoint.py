"""Ask a model behind an OpenAI-compatible endpoint, no faster than allowed, and keep its replies.

Remarks for training data and verdicts on studies are asked for alike. Keys come from the
environment and are never written anywhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duo.errors import BadInput
from duo.keys import OPENAI_URL, key_for, key_variables
from duo.runs import Journal
from duo.terminal import printable

#: How many questions are under way at once.
CONCURRENCY = 8
#: Attempts after the first one, and seconds that each may take.
_RETRIES, _TIMEOUT = 6, 60.0


@dataclass(frozen=True)
class Reply:
    """What a model said, and how many tokens it read and wrote."""

    text: str
    tokens_in: int
    tokens_out: int


class Replies:
    """Replies that are kept as they come, so that a run that was stopped pays for the rest only.

    May be used by several threads.

    Args:
        prices: dollars for a million tokens in and out, if the cost is to be shown.
    """

    def __init__(self, path: Path, prices: tuple[float, float] | None = None) -> None:
        self._journal, self._prices = Journal(path), prices
        self._lock = threading.Lock()
        self._kept = {
            record["key"]: Reply(record["text"], record["in"], record["out"])
            for record in self._journal.records
            if {"key", "text", "in", "out"} <= record.keys()
        }

    def get(self, key: str, ask: Callable[[], Reply]) -> Reply:
        """Return the reply of this key; ask for it, and keep it, if it is not there."""
        if key not in self._kept:
            reply = ask()
            record = {"key": key, "text": reply.text}
            with self._lock:
                self._kept[key] = reply
                self._journal.append(record | {"in": reply.tokens_in, "out": reply.tokens_out})
        return self._kept[key]

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    @property
    def facts(self) -> Mapping[str, Any]:
        """For the manifest: the tokens that all replies took, in this run and before."""
        tokens_in = sum(reply.tokens_in for reply in self._kept.values())
        tokens_out = sum(reply.tokens_out for reply in self._kept.values())
        cost = f"{tokens_in} tokens in, {tokens_out} out"
        if self._prices is not None:
            dollars = (tokens_in * self._prices[0] + tokens_out * self._prices[1]) / 1e6
            cost = f"${dollars:.4f}"
        return {
            "requests": len(self._kept),
            "tokens_in": tokens_in,
            "tokens_out": tokens_out,
            "cost": cost,
        }


def side_by_side(
    ask: Callable[..., str], questions: Iterable[tuple[Any, ...]], threads: int = CONCURRENCY
) -> list[str]:
    """Ask questions, given as the arguments of `ask`, in several threads; return what it returns.

    After an error those that are under way are finished, and the others are not asked.
    """
    with ThreadPoolExecutor(threads) as pool:
        under_way = [pool.submit(ask, *question) for question in questions]
        try:
            return [one.result() for one in under_way]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


class Endpoint:
    """A model behind an OpenAI-compatible endpoint; may be asked by several threads.

    Args:
        model: as the endpoint calls it.
        url: of the endpoint; None for what the environment says.
        option: of the command line that names the model, for messages.
        sleep, clock: for tests.

    Raises:
        BadInput: there is no key in the environment; or the URL is none.
    """

    def __init__(
        self,
        model: str,
        *,
        most_tokens: int,
        requests_per_minute: float,
        url: str | None = None,
        option: str = "--model",
        client: Any = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._most, self._option = model, most_tokens, option
        self._where, self._url = "--endpoint" if url else OPENAI_URL, url
        self._client = client or open_client(url, self._where, _TIMEOUT)
        self._lock = threading.Lock()
        self._every, self._next = 60.0 / requests_per_minute, 0.0
        self._sleep, self._clock = sleep, clock
        self._limit = "max_tokens"
        #: Names of settings that the model does not take.
        self.refused: set[str] = set()

    def ask(self, messages: list[dict[str, str]], *, seed: int, **settings: Any) -> Reply:
        """Ask for one reply, in turn.

        Args:
            seed: of the sampling, for endpoints that have one.
            settings: further parameters of the request, such as `temperature`.

        Raises:
            BadInput: the endpoint refuses, cannot be reached after several attempts, or makes no
                sense.
        """
        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + self._every
        if start > now:
            self._sleep(start - now)
        with plain_errors(self._where, self._option, self._url):
            done = self._complete(messages, seed=seed, **settings)
            text = done.choices[0].message.content or ""
        used = done.usage
        return Reply(
            text, getattr(used, "prompt_tokens", 0) or 0, getattr(used, "completion_tokens", 0) or 0
        )

    def _complete(self, messages: list[dict[str, str]], **settings: Any) -> Any:
        """Ask for one completion, without the settings that the model refuses.

        The limit of the length has two names: most endpoints know the first.
        """
        import openai

        while True:
            sent = {name: value for name, value in settings.items() if name not in self.refused}
            limit = self._limit  # another thread may learn better meanwhile
            try:
                return self._client.chat.completions.create(
                    model=self._model, messages=messages, **{limit: self._most}, **sent
                )
            except openai.BadRequestError as error:
                named = {name for name in sent if f"'{name}'" in error.message}
                if limit == "max_tokens" and "max_tokens" in error.message:
                    self._limit = "max_completion_tokens"
                elif not named:
                    raise
                self.refused |= named


def open_client(url: str | None, where: str, timeout: float) -> Any:
    """Open a client of an endpoint; its key is taken from the environment (see `duo.keys`).

    The client waits between its attempts as the endpoint tells it to, and longer each time.

    Args:
        url: of the endpoint; None for what the environment says.
        where: what names the endpoint, for messages.

    Raises:
        BadInput: there is no key in the environment, or the URL is none.
    """
    import openai

    key = key_for(_address(url)) or "none"
    try:
        return openai.OpenAI(base_url=url, api_key=key, max_retries=_RETRIES, timeout=timeout)
    except Exception as error:  # of the HTTP library, whichever that is, for no address
        raise BadInput(f"{where} is no address: {printable(str(error))}") from error


def _address(url: str | None) -> str:
    return url or os.environ.get(OPENAI_URL) or "https://api.openai.com/v1"


@contextmanager
def plain_errors(where: str, option: str, url: str | None) -> Iterator[None]:
    """Say in a line what went wrong with a request, or with what came back.

    Args:
        where: what names the endpoint.
        option: of the command line that names the model.

    Raises:
        BadInput: the endpoint refuses, cannot be reached after several attempts, or makes no sense.
    """
    import openai

    try:
        yield
    except openai.AuthenticationError:
        names = " or ".join(key_variables(_address(url)))
        raise BadInput(f"the endpoint refuses the key in {names}") from None
    except openai.APIConnectionError as error:
        raise BadInput(
            f"cannot reach the endpoint ({error.message.rstrip('.')}): check {where} "
            "and the network, then give the same command again to go on"
        ) from None
    except openai.APIStatusError as error:
        passing = error.status_code >= 500 or error.status_code in (408, 429)
        raise BadInput(
            f"the endpoint answers with an error ({error.status_code}: "
            f"{printable(error.message[:200])}); "
            + ("the same command goes on" if passing else f"check {option} and the key")
        ) from None
    except (openai.OpenAIError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise BadInput(f"the endpoint's answer makes no sense ({type(error).__name__})") from error
