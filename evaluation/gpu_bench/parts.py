"""Measure one part of the GPU's bench, in a process of its own.

    python -m evaluation.gpu_bench.parts passes-135m cuda 0

Weights are random and made on the device: what a pass costs does not depend on them.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GraniteConfig, LlamaConfig

from duo.decoding.channels import Asked, Chunk, encode_together, read_together
from duo.decoding.fused import FusedChannels
from duo.decoding.mask import Owner
from duo.decoding.passes import StaticPool, cuda_graphs, whole_graph
from duo.decoding.settings import Chances, Sampler, Sampling
from duo.decoding.slots import SlotPool
from duo.decoding.static import StaticModel
from duo.minicpm import granite_settings
from duo.quantising import quantise, stored_bytes
from duo.training.settings import TrainSettings
from evaluation.decode_bench.machine import generate_seconds, product_rate, read_bandwidth, timed
from evaluation.gpu_bench.bench import say
from evaluation.gpu_bench.results import Figure
from evaluation.train_bench import shape_bench

#: Tokens in the context of a pass, of each session.
_CONTEXT = 512
_ROUNDS = 30
#: Numbers of sessions; the one that is aimed at on an H200, and tokens that open a user's turn.
_SESSIONS = (1, 8, 32, 64, 128, 256, 400, 512)
_AIM = 400
_OPENING = 12


def config(shape: str, small: bool) -> Any:
    """Describe a model of the shape of MiniCPM-2.4B or of SmolLM2-135M, or a small one like it."""
    if shape == "2.4b":
        sizes = {
            "vocab_size": 122_753, "hidden_size": 2304, "intermediate_size": 5760,
            "num_hidden_layers": 40, "num_attention_heads": 36,
        }  # fmt: skip
        if small:
            sizes = {
                "vocab_size": 500, "hidden_size": 64, "intermediate_size": 128,
                "num_hidden_layers": 2, "num_attention_heads": 4,
            }  # fmt: skip
        scales = {"scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 256}
        return GraniteConfig(**granite_settings({**sizes, **scales}))
    sizes = {
        "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
    }  # fmt: skip
    if small:
        sizes |= {"vocab_size": 500, "hidden_size": 72, "intermediate_size": 96}
        sizes |= {"num_hidden_layers": 2}
    return LlamaConfig(**sizes, tie_word_embeddings=True, max_position_embeddings=2048)


def make_model(shape: str, device: torch.device, small: bool, dtype: torch.dtype) -> Any:
    """Make a model of random weights on the device."""
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config(shape, small), dtype=dtype).eval()


def read_bytes(model: StaticModel) -> int:
    """Count the bytes of weights that a pass reads: all but the rows of an untied embedding."""
    tied = model.head.data_ptr() == model.embedding.data_ptr()
    return stored_bytes(model.weights()) - (0 if tied else model.embedding.nbytes)


def seconds(work: Callable[[], Any], device: torch.device, rounds: int = _ROUNDS) -> float:
    """Time a work that ends with the device at rest; the median of some rounds, host included."""
    return median([timed(work, device) for _ in range(rounds + 3)][3:])


def attempt(what: str, work: Callable[[], Any], count: int | None = None) -> bool:
    """Do one of a part's works; if it fails, say why, so that the others are done all the same.

    What it held is given back: trainers, for one, are parts of cycles and keep their memory.

    Returns:
        Whether it did not fail.
    """
    failed = ""
    try:
        work()
    except Exception as error:  # no memory, no compiler, or what else a machine lacks
        reason = (str(error).strip() or "no reason is given").splitlines()[0][:200]
        failed = f"{what}: {type(error).__name__}: {reason}"
    gc.collect()  # not before: an error that is being handled keeps all that it came through
    torch.cuda.empty_cache()
    if failed:
        say(Figure(what=failed, count=count, value=None, unit=None))
    return not failed


class Bench:
    """What all parts know.

    Args:
        device: that is measured.
        small: small shapes, for a CPU.
    """

    def __init__(self, device: torch.device, small: bool) -> None:
        self.device, self.small = device, small
        self.dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.rounds = 3 if small else _ROUNDS

    def seconds(self, work: Callable[[], Any]) -> float:
        return seconds(work, self.device, self.rounds)

    def ways(self) -> dict[str, dict[str, Any]]:
        """List how passes can be run: those that a CPU has too, and those of CUDA."""
        ways: dict[str, dict[str, Any]] = {"plain": {}, "compiled": {"compiler": whole_graph}}
        if self.device.type == "cuda":
            graph = {"capture": cuda_graphs()}
            ways = {"plain": {}, "graph": graph, "compiled graph": ways["compiled"] | graph}
        return ways

    # -- parts -------------------------------------------------------------------------------

    def machine(self) -> None:
        """Measure the ceilings: bytes moved and read, and products of matrices."""
        size = 2**22 if self.small else 2**32
        took = self._copy_seconds(size)
        say(Figure(what="copy", value=2 * size / took / 1e12, unit="TB/s"))
        say(Figure(what="read", value=read_bandwidth(self.device, size) / 1e12, unit="TB/s"))
        width = 256 if self.small else 8192
        rate = product_rate(self.device, self.dtype, width)
        say(Figure(what=f"products in {self.dtype}", value=rate / 1e12, unit="TFLOP/s"))

    def _copy_seconds(self, size: int) -> float:
        source = torch.ones(size // 4, device=self.device)
        copy = torch.empty_like(source)
        return self.seconds(lambda: copy.copy_(source))

    def agreement(self) -> None:
        """Hold every way of running passes to plain passes on a CPU, in single precision."""
        for shape in ("2.4b", "135m"):
            model = make_model(shape, torch.device("cpu"), True, torch.float32)
            expected = spoken(SlotPool(model, 2), model)
            model = model.to(self.device)
            for name, how in {"of transformers": None, **self.ways()}.items():
                what = f"tokens as on a CPU, small {shape}, {name}"
                attempt(what, partial(self._agreement, what, model, how, expected))

    def _agreement(
        self, what: str, model: Any, how: dict[str, Any] | None, expected: Sequence[int]
    ) -> None:
        slots = SlotPool(model, 2) if how is None else StaticPool(StaticModel(model), 2, **how)
        found = spoken(slots, model)
        same = sum(one == other for one, other in zip(found, expected, strict=True))
        share = same / len(expected)
        say(Figure(what=what, count=len(expected), value=same, unit="tokens", share=share))

    def passes(self, shape: str, bits: str = "") -> None:
        """Time passes of one session: the answer alone, both channels, and words heard."""
        model = make_model(shape, self.device, self.small, self.dtype)
        if bits:
            quantise(model, bits)
        static = StaticModel(model)
        best = self._seconds_to_read(static)
        say(Figure(what="limit: reading the weights", value=1e3 * best, unit="ms"))
        pools: dict[str, Callable[..., Any]] = {"of transformers": partial(SlotPool, model)}
        for name, how in (self.ways() | self._tuned()).items():
            pools[name] = partial(StaticPool, static, **how)
        for name, make_pool in pools.items():
            attempt(name, partial(self._passes, name, make_pool, best))

    def _tuned(self) -> dict[str, dict[str, Any]]:
        """Give the way whose products inductor may make kernels of its own for."""
        if self.device.type != "cuda":
            return {}
        options = {"max_autotune": True, "coordinate_descent_tuning": True}
        compiler = partial(whole_graph, options=options)
        return {"tuned graph": {"compiler": compiler, "capture": cuda_graphs()}}

    def _seconds_to_read(self, model: StaticModel) -> float:
        weights = read_bytes(model)
        return weights / read_bandwidth(self.device, max(weights, 2**20))

    def _passes(self, name: str, make_pool: Callable[..., Any], best: float) -> None:
        pool = make_pool(capacity=2 * _CONTEXT)
        pool.take_row()
        for tokens in (1, 2, 6):
            took = self.seconds(partial(pool.forward, [step(0, tokens)]))
            share = best / took
            say(Figure(what=name, count=tokens, value=1e3 * took, unit="ms", share=share))

    def generate(self, shape: str) -> None:
        """Time what `generate()` takes for a token, with a dynamic and with a static cache."""
        model = make_model(shape, self.device, self.small, self.dtype)
        prompt = list(range(1, 65 if self.small else _CONTEXT))
        best = self._seconds_to_read(StaticModel(model))
        for cache in ("dynamic", "static"):
            what = f"generate(), {cache} cache"
            attempt(what, partial(self._generate, what, model, prompt, cache, best))

    def _generate(self, what: str, model: Any, prompt: list[int], cache: str, best: float) -> None:
        # The first time it may compile; as a model in use, it is timed after that.
        for _ in range(2):
            took = generate_seconds(model, prompt, 16, cache=cache)
        say(Figure(what=what, count=1, value=1e3 * took, unit="ms", share=best / took))

    def sessions(self, shape: str) -> None:
        """Time passes of many sessions, both channels of each; at best they read all once."""
        model = StaticModel(make_model(shape, self.device, self.small, self.dtype))
        limit = self._seconds_to_read(model)
        # The best way that works here: without a C compiler there are graphs, but none compiled.
        for way, how in reversed(self.ways().items()):
            if self._sessions(model, way, how, limit):
                break

    def _sessions(self, model: StaticModel, way: str, how: dict[str, Any], limit: float) -> bool:
        """Time ever more sessions until that fails; tell whether this way works here at all."""
        counts = [1, 2, 4] if self.small else list(_SESSIONS)
        while counts:  # one pool for all, as a pool compiles its own passes
            try:
                pool = StaticPool(model, counts[-1], capacity=_CONTEXT, **how)
                break
            except torch.OutOfMemoryError:
                what = "do not fit into the memory"
                say(Figure(what=what, count=counts.pop(), value=None, unit=None))

        def measure(what: str, chunks: list[Chunk]) -> None:
            took = self.seconds(partial(pool.forward, chunks))
            read = pool.bytes * len(chunks) / pool.rows
            best = limit * (1 + read / read_bytes(model))
            share = best / took
            say(Figure(what=what, count=len(chunks), value=1e3 * took, unit="ms", share=share))

        for count in counts:
            chunks = [step(row, 2) for row in range(count)]
            if not attempt(way, partial(measure, way, chunks), count):
                return count > counts[0]
            if count == min(counts[-1], _AIM):
                what = f"{way}, one session hearing {_OPENING} tokens"
                opened = [step(0, _OPENING), *chunks[1:]]
                attempt(what, partial(measure, what, opened), count)
        # Last, as it takes rows: what a conversation does in a pass, but for its text.
        count = min(counts[-1], _AIM)
        attempt(way, partial(self._choices, way, model, pool, count), count)
        return True

    def _choices(self, way: str, model: Any, pool: StaticPool, count: int) -> None:
        """Time a pass of many sessions with all that is around it on the host and the device.

        What is pending is collected, tokens are chosen and states looked at, and all is read.
        """
        rows = [FusedChannels(model, pool) for _ in range(count)]
        for channels in rows:
            channels.extend_prefix([1] * (_CONTEXT - 4 * self.rounds))
            channels.begin_pass()  # slots are taken; what is in them does not change a pass's time
            channels.speaking = True
            channels.fork([1])
            channels.speak(1)
        tokens, looks = Sampler(Sampling(), banned=(2,)), Chances((3, 4))

        def whole() -> None:
            scores = encode_together(rows)
            wanted = [
                [tokens.ask(one.output, ()), Asked(looks, one.input)]
                for one in scores
                if one.output is not None and one.input is not None
            ]
            for channels, ((token,), _) in zip(rows, read_together(wanted), strict=True):
                channels.speak(int(token))
                channels.listen([1])

        took = self.seconds(whole)
        what = f"{way}, tokens chosen and read"
        say(Figure(what=what, count=count, value=1e3 * took, unit="ms"))

    def int8(self, shape: str) -> None:
        """Time the same passes with weights of eight bits."""
        self.passes(shape, "int8")

    def int4(self, shape: str) -> None:
        """Time the same passes with weights of four bits."""
        self.passes(shape, "int4")

    def training(self, shape: str) -> None:
        """Train adapters as they are and compiled, then all weights."""
        length, batch, parts = (4096, 4, 2) if shape == "2.4b" else (1024, 32, 1)
        if self.small:
            length, batch, parts = 64, 2, 1
        own = TrainSettings(max_tokens=length, batch=batch, micro_batches=parts, lora_rank=8)
        ways = {
            "adapter": own,
            "adapter, compiled": replace(own, compile=True),
            "all weights": replace(own, lora_rank=0, gradient_checkpointing=True),
        }
        for name, settings in ways.items():
            if self.small and settings.compile:
                continue  # a CPU takes minutes to compile
            what = f"{name}, {length} tokens a sample"
            attempt(what, partial(self._training, what, shape, settings))

    def _training(self, what: str, shape: str, settings: TrainSettings) -> None:
        found = shape_bench(
            config(shape, self.small), settings, seconds=0 if self.small else 10, name=shape
        ).ways["duo"]
        value, share = found.tokens_per_second.median, found.share_of_limit.median
        say(Figure(what=what, value=value, unit="tokens/s", share=share))


def step(row: int, tokens: int) -> Chunk:
    """Make the last tokens of a context: one of the output channel, others of the input channel."""
    places = range(_CONTEXT - tokens, _CONTEXT)
    owners = [Owner.OUTPUT, *[Owner.INPUT] * (tokens - 1)]
    wanted = [0] if tokens == 1 else [0, tokens - 1]
    return Chunk(row, _CONTEXT, [1] * tokens, owners, list(places), list(places), wanted)


def spoken(pool: Any, model: Any) -> list[int]:
    """Hold two conversations in a pool and return the likeliest tokens: said, and expected."""
    rows = [FusedChannels(model, pool) for _ in range(2)]
    found: list[int] = []

    def likeliest(scores: Tensor) -> int:
        found.append(int(scores.argmax()))
        return found[-1]

    for number, channels in enumerate(rows):
        channels.extend_prefix(list(range(3 + number, 40)))
        channels.speaking = True
    for cycle in range(16):
        if cycle == 4:
            rows[0].fork([5, 6, 7])
        if cycle == 10:
            rows[0].promote()
            rows[0].extend_prefix([8, 9])
        for channels, scores in zip(rows, encode_together(rows), strict=True):
            if scores.output is not None:
                channels.speak(likeliest(scores.output))
            if scores.input is not None and channels.input is not None:
                channels.input.ids.append(likeliest(scores.input))
    return found


def main(name: str, device: str, small: str) -> None:
    """Measure the part of this name."""
    bench = Bench(torch.device(device), bool(int(small)))
    part, _, shape = name.partition("-")
    torch.manual_seed(0)
    with torch.set_grad_enabled(part == "training"):
        getattr(bench, part)(*[shape] if shape else [])


if __name__ == "__main__":
    main(*sys.argv[1:])
