"""Load models for benchmarks, and have lm-eval's own models answer, so that a killed run goes on.

lm-eval's `CachingLM` is not used: it leaves out sampled answers, its key leaves out the model, and
it stores single answers in the background, so that after a kill what is left falls into other
batches, whose padding moves the numbers a little, without a word. Here answers are kept by whole
batches. lm-eval sorts requests before it batches them, so what is left of a killed run is a tail of
that order, and falls into the very batches that it would have been in.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import CacheHook, hash_args
from lm_eval.models.huggingface import HFLM

from duo import backbone, gguf_model
from duo.chatformat import PLAIN_OPENING, write_style
from duo.chattemplate import dated
from duo.errors import BadInput
from duo.files import sha256
from duo.model_folder import ADAPTER, base_folder, chat_style, model_folder
from duo.runs import Journal
from duo.terminal import quiet, silence
from duo.tokens import STATE_TOKENS
from evaluation.benchmarks.experiment import Column, Settings

#: Files of a model's folder that change what it says.
_KINDS = frozenset({".safetensors", ".bin", ".json", ".jinja", ".model", ".txt"})
_RECORDS = frozenset({"manifest.json", "trainer_state.json", "requirements.txt"})

#: Batch size that "auto" means on a processor, where no memory error tells what is too much.
_PROCESSOR_BATCH = 8

#: Added to the logit of a banned token on vLLM: the lowest value that it takes.
_BAN = -100.0


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, with its tokenizer.

    Attributes:
        states: ids of the state tokens; empty if the model has none.
        style: its chat format, which the tokenizer's template writes.
    """

    model: Any
    tokenizer: Any
    states: tuple[int, ...]
    style: str = "template"


def open_model(name: str, *, device: str, dtype: str, chat: str | None = None) -> Loaded:
    """Load a model, or an adapter merged into its base model, without adding anything.

    Decoding gives every model state tokens. A benchmark measures the base model as its makers
    published it: three more rows in its matrices would move every likelihood a little. Errors are
    those of `duo.backbone.load`.

    Raises:
        BadInput: see `duo.backbone.load`.
    """
    place = backbone.resolve_device(_own_device(device))
    kind = backbone.resolve_dtype(dtype, place)
    folder = model_folder(name)
    style = chat_style(folder, chat)
    with quiet():
        model, tokenizer = backbone.open_weights(folder, kind, "sdpa")
        model = backbone.moved(model, place).eval()
    _write_form(tokenizer, style)
    known = tokenizer.get_added_vocab()
    states = tuple(known[token] for token in STATE_TOKENS if token in known)
    return Loaded(model, tokenizer, states, style)


def _write_form(tokenizer: Any, style: str) -> None:
    """Make the template of a tokenizer write a model's chat format, with the day that is pinned."""
    if style != "template":
        write_style(tokenizer, style)
    elif isinstance(tokenizer.chat_template, str):
        tokenizer.chat_template = dated(tokenizer.chat_template)


def _own_device(device: str) -> str:
    """Choose this process's device: in a data-parallel run each has an accelerator of its own."""
    alone = int(os.environ.get("WORLD_SIZE", "1")) <= 1
    if alone or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def resolved_dtype(dtype: str, device: str) -> str:
    """Say what "auto" means on this machine, as torch calls it.

    Raises:
        BadInput: see `duo.backbone.load`.
    """
    resolved = backbone.resolve_dtype(dtype, backbone.resolve_device(device))
    return str(resolved).removeprefix("torch.")


def model_hash(name: str, backend: str = "hf") -> str:
    """Hash the files of a model that change what it says; of an adapter, its base's too.

    Raises:
        BadInput: see `duo.model_folder.model_folder`, or a file cannot be read.
    """
    digest = hashlib.sha256()
    if backend == "llama":
        source = gguf_model.find(name)
        digest.update(f"{sha256(source.file)}\n".encode())
        if source.adapter is None:
            return digest.hexdigest()
        folder = source.adapter
    else:
        folder = model_folder(name)
    try:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix in _KINDS and path.name not in _RECORDS:
                digest.update(f"{path.name} {sha256(path)}\n".encode())
    except OSError as error:
        raise BadInput(f"cannot read: {error.strerror or error}", file=folder) from error
    base = base_folder(folder) if backend != "llama" else None
    if base is not None:
        digest.update(f"base {model_hash(str(base))}\n".encode())
    return digest.hexdigest()


class KeptAnswers(CacheHook):
    """Answers of a benchmark that is not finished, in a file; lm-eval hands each one to it.

    Args:
        path: of the file; its name must tell the model, the task, the settings and the data apart.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(None)
        self._journal = Journal(path)
        self._facts: dict[str, Any] = {}
        self._answers: dict[str, list[Any]] = {}
        self._batch: list[tuple[str, Any]] = []
        self.leaks = 0
        try:
            for record in self._journal.records:
                self._facts |= record.get("facts", {})
                self.leaks += record.get("leaks", 0)
                for key, answer in record.get("answers", ()):
                    self._answers.setdefault(key, []).append(answer)
        except (AttributeError, TypeError, ValueError):  # not ours
            self._journal.remove()
            self._journal, self._facts, self._answers, self.leaks = Journal(path), {}, {}, 0

    def fact(self, name: str, value: Any) -> Any:
        """Keep a fact that must not change while the benchmark runs; the first value counts."""
        if name not in self._facts:
            self._facts[name] = value
            self._journal.append({"facts": {name: value}})
        return self._facts[name]

    def take(self, kind: str, request: Iterable[Any]) -> Any:
        """Give a kept answer to a request, once for each time that it was computed; else None.

        A request that is made twice has two answers: the two are in lm-eval's batches, too.
        """
        answers = self._answers.get(hash_args(kind, request))
        return answers.pop(0) if answers else None

    def add_partial(self, attr: str, req: Iterable[Any], res: Any) -> None:
        """Take an answer; lm-eval calls this for each as soon as its batch is computed."""
        self._batch.append((hash_args(attr, req), res))

    def keep_batch(self, leaks: int = 0) -> int:
        """Write the answers of the batch that was computed last; tell how many there are."""
        done = len(self._batch)
        if done:
            self._journal.append({"answers": self._batch, "leaks": leaks})
            self.leaks += leaks
            self._batch = []
        return done

    def remove(self) -> None:
        """Remove the file: the result is written."""
        self._journal.remove()


class Answering(HFLM):
    """lm-eval's model for `transformers`, around a loaded one.

    Args:
        on_done: told how many more requests are answered, and how many there are in all.

    Attributes:
        batch_sizes: by kind of request, of the benchmark in work.
        logit_bias: none; state tokens are banned by their ids, see `_model_generate`.
    """

    logit_bias = None

    def __init__(
        self,
        loaded: Loaded,
        settings: Settings,
        on_done: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        super().__init__(
            pretrained=loaded.model, tokenizer=loaded.tokenizer, backend="causal", batch_size=1
        )
        self._settings, self._on_done = settings, on_done
        self._states = list(loaded.states)
        self._opening = PLAIN_OPENING if loaded.style == "plain" else None
        _join_processes(self)

    def begin(self, kept: KeptAnswers, seed: int) -> None:
        """Begin a benchmark: `kept` has the answers of an earlier try, `seed` is of sampling."""
        self.set_cache_hook(kept)
        self._kept, self._seed = kept, seed
        self._generated = self._cut = self._leaks = self._asked = 0
        self.batch_sizes: dict[str, int] = {}

    def leak_rate(self) -> float | None:
        """Give the share of generated answers with a state token; None if there are none.

        Of all processes together, which must all ask.
        """
        counts = torch.tensor([[self._generated, self._kept.leaks]], device=self.device)
        generated, leaked = self.all_gather(counts).sum(dim=0).tolist()
        return leaked / generated if generated else None

    def truncated(self) -> int:
        """Count the questions that were cut to the context, of all processes, which must all ask.

        lm-eval cuts them from the left with no more than a message.
        """
        return int(self.all_gather(torch.tensor([self._cut], device=self.device)).sum())

    def get_model_info(self) -> dict[str, Any]:
        """Tell nothing that would have to be asked from the hub."""
        return {}

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        longest_option = max((len(more) for _, _, more in requests), default=0)
        if longest_option > self.max_length:  # lm-eval would stop with an assertion
            raise BadInput(
                f"an answer of {longest_option} tokens does not fit into a context of "
                f"{self.max_length}",
                field="model",
            )
        room = self.max_length + 1
        self._cut += len({tuple(ids) for _, ids, more in requests if len(ids) + len(more) > room})
        longest = max(requests, key=lambda one: len(one[1]) + len(one[2]), default=None)
        self._set_batch("likelihood", [longest] if longest else None)
        answers = self._answered(
            "loglikelihood", requests, [texts for texts, _, _ in requests], self._ask_likelihoods
        )
        return [(value, greedy) for value, greedy in answers]

    def _ask_likelihoods(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Compute what was not kept."""
        return HFLM._loglikelihood_tokens(self, requests, disable_tqdm=True)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        for request in requests:
            self._cut += len(self.tok_encode(request.args[0])) > self._room(request.args[1])
        self._set_batch("answer", None)
        self._generated += len(requests)
        return self._answered(
            "generate_until",
            requests,
            [request.args for request in requests],
            lambda left: HFLM.generate_until(self, left, disable_tqdm=True),
        )

    def tok_batch_encode(self, strings: list[str], *args: Any, **how: Any) -> Any:
        """Encode questions; the blank that opens an answer in the plain form is the answer's."""
        if self._opening is not None:
            strings = [text[:-1] if text.endswith(self._opening) else text for text in strings]
        return super().tok_batch_encode(strings, *args, **how)

    def _room(self, settings: dict[str, Any]) -> int:
        """Count the tokens that a question may have; at none lm-eval would stop."""
        longest = int(settings.get("max_gen_toks") or self.max_gen_toks)
        if longest >= self.max_length:
            raise BadInput(
                f"answers of up to {longest} tokens leave no room for questions in a context of "
                f"{self.max_length}: set a lower cap",
                field="max-new-tokens",
            )
        return self.max_length - longest

    def _answered(
        self, kind: str, requests: list[Any], keys: list[Any], ask: Callable[[list[Any]], list[Any]]
    ) -> list[Any]:
        """Answer all requests: with what was kept, and by `ask`."""
        found = [self._kept.take(kind, key) for key in keys]
        left = [number for number, answer in enumerate(found) if answer is None]
        self._asked = len(requests)
        self._on_done(len(requests) - len(left), len(requests))
        if left:
            try:
                answers = ask([requests[number] for number in left])
            except torch.OutOfMemoryError:
                raise BadInput(
                    f"does not fit into the memory of {self.device}: use a smaller one, or a "
                    "smaller model",
                    field="batch-size",
                ) from None
            self._keep_batch()
            for number, answer in zip(left, answers, strict=True):
                found[number] = answer
        return found

    def _keep_batch(self) -> None:
        """Write what the last batch gave, before the next one is computed."""
        done = self._kept.keep_batch(self._leaks)
        self._leaks = 0
        if done:
            self._on_done(done, self._asked)

    def _model_call(self, inps: torch.Tensor, **how: Any) -> torch.Tensor:
        self._keep_batch()
        return super()._model_call(inps, **how)

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **how: Any
    ) -> torch.Tensor:
        self._keep_batch()
        torch.manual_seed(self._seed_of(context))
        if self._states and self._settings.ban_states:
            how["suppress_tokens"] = self._states
        found = super()._model_generate(context, max_length, stop, **how)
        if self._states:
            states = torch.tensor(self._states, device=found.device)
            answers = found[:, context.shape[1] :]
            self._leaks = int(torch.isin(answers, states).any(dim=1).sum())
        return found

    def _seed_of(self, context: torch.Tensor) -> int:
        """Seed each batch by itself, so that a run that goes on draws what it would have drawn."""
        start = f"{self._seed} {self.rank} {context.tolist()}".encode()
        return int.from_bytes(hashlib.sha256(start).digest()[:7], "big")

    def _set_batch(self, kind: str, longest: Sequence[Any] | None) -> None:
        """Set the batch size; a run that goes on keeps one that was found out before."""
        if self._settings.batch_size != "auto":
            size = int(self._settings.batch_size)
        elif self.device.type == "cpu":
            size = _PROCESSOR_BATCH
        else:
            size = self._detect_batch_size(longest)
        size = int(self._kept.fact(f"batch size, {kind}", size))
        self.batch_size_per_gpu = self.batch_sizes[kind] = size


def _join_processes(lm: Answering) -> None:
    """Take part in a data-parallel run, if `accelerate launch` started several processes.

    lm-eval does this only for models that it loads itself.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return
    from accelerate import Accelerator

    lm.accelerator = Accelerator(cpu=lm.device.type == "cpu")
    lm._rank = lm.accelerator.process_index
    lm._world_size = lm.accelerator.num_processes


def open_lm(column: Column, settings: Settings, on_done: Callable[[int, int], None]) -> Any:
    """Open the model of a column for lm-eval.

    Raises:
        BadInput: it cannot be loaded, or its back end cannot do what is asked.
    """
    if column.slices:
        return _open_slicing(column, settings, on_done)
    if column.backend(settings) == "llama":
        return _open_llama(column, settings, on_done)
    if settings.backend == "vllm":
        return _open_vllm(column, settings)
    loaded = open_model(
        column.loaded, device=settings.device, dtype=settings.dtype, chat=settings.chat
    )
    with silence():
        return Answering(loaded, settings, on_done)


def _open_llama(
    column: Column, settings: Settings, on_done: Callable[[int, int], None]
) -> Answering:
    from evaluation.benchmarks.llama import AnsweringLlama

    if not settings.ban_states:
        raise BadInput("llama.cpp answers without state tokens: use --backend hf", field="backend")
    with quiet():
        loaded = gguf_model.load(column.loaded, chat=settings.chat)
        tokenizer = gguf_model.own_tokenizer(loaded.model.file)
    _write_form(tokenizer, loaded.chat.name)
    with silence():
        return AnsweringLlama(loaded.model, tokenizer, loaded.chat.name, settings, on_done)


def _open_slicing(
    column: Column, settings: Settings, on_done: Callable[[int, int], None]
) -> Answering:
    from evaluation.benchmarks.slices import Slicing

    if settings.backend != "hf":
        raise BadInput(
            f"questions cannot be put in slices to {settings.backend}: use --backend hf",
            field="slices",
        )
    with quiet():
        loaded = backbone.load(
            column.loaded,
            device=_own_device(settings.device),
            dtype=settings.dtype,
            chat=settings.chat,
            engine="torch",
        )
    with silence():
        return Slicing(loaded, settings, on_done)


def _open_vllm(column: Column, settings: Settings) -> Any:
    """Open lm-eval's vLLM model of a column; it keeps no answers of an unfinished benchmark.

    vLLM has no rows of its own for the three state tokens of an adapter; so an adapter is merged
    into its base model first, in a temporary folder.
    """
    if find_spec("vllm") is None:
        raise BadInput(
            "vLLM is not installed: pip install vllm (Linux with a GPU), or leave --backend out",
            field="backend",
        )
    if not settings.ban_states:
        raise BadInput("vLLM does not tell state tokens: use --backend hf", field="backend")
    from lm_eval.models.vllm_causallms import VLLM
    from transformers import AutoTokenizer

    folder, merged = model_folder(column.loaded), None
    if (folder / ADAPTER).is_file():
        dtype = "float32" if settings.dtype == "auto" else settings.dtype
        loaded = open_model(column.loaded, device="cpu", dtype=dtype)
        merged = tempfile.TemporaryDirectory(prefix="duo-merged-")
        folder = Path(merged.name)
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
    known = AutoTokenizer.from_pretrained(folder).get_added_vocab()
    style = chat_style(model_folder(column.loaded), settings.chat)

    class AnsweringVLLM(VLLM):
        """lm-eval's model with what a run asks of one."""

        keep = merged  # the folder is removed with the model
        logit_bias = {known[t]: _BAN for t in STATE_TOKENS if t in known}  # noqa: RUF012

        def begin(self, kept: KeptAnswers, seed: int) -> None:
            self.batch_sizes: dict[str, int] = {}

        def leak_rate(self) -> float | None:
            return None

        def truncated(self) -> int | None:
            return None

    made = AnsweringVLLM(
        pretrained=str(folder), dtype=settings.dtype, batch_size=settings.batch_size
    )
    _write_form(made.tokenizer, style)
    return made
