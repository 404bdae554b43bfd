"""Load the weights of a GGUF file into llama.cpp, with tokens that the file lacks."""

from __future__ import annotations

import ctypes
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from duo.decoding.llama_states import LAST, Watch
from duo.engine import choose_threads, cores, last_words, library
from duo.errors import BadInput
from duo.gguf_file import Matrix, find_matrix

#: Tokens that are computed at once of a pass: more want more memory, and are no faster on a CPU.
_AT_ONCE = 256
#: Tokens of a session, in a pass in which the last hidden state is wanted, up to which it is one
#: call: llama.cpp gives it after all tokens of a call or none, and scores of all with it.
NARROW = 32
#: The name of the input embeddings in a file.
EMBEDDINGS = "token_embd.weight"
#: Tokens that a number of threads is tried with.
_TRIES = 4


@dataclass(frozen=True)
class Rows:
    """Tokens that a GGUF file lacks, numbered after those that it has.

    Attributes:
        count: how many there are.
        embedding: their input embeddings, float32 `[count, width]`; None for the mean of all.
        head, bias: float32 `[count, width]` and `[count]`: the score of one is
            `head . hidden + bias`, on a hidden state. None for the mean of all scores, which
            is never the greatest.
        above: whether that is counted from the greatest score of the file's own tokens, as that of
            state rows is (see `duo.state_rows`).
        layer: the block after which `hidden` is taken, from 0 on; -1 for the last hidden state.
    """

    count: int
    embedding: np.ndarray | None = None
    head: np.ndarray | None = None
    bias: np.ndarray | None = None
    above: bool = False
    layer: int = LAST


class _Weights:
    """A file that llama.cpp has loaded, freed when neither a model nor a context uses it."""

    def __init__(self, api: Any, file: Path) -> None:
        settings = api.llama_model_default_params()
        # Of its kernels for Intel's AMX gcc leaves the tiles' configuration out, and the first pass
        # of two tokens ends the process (llama.cpp's pull request 26954): its plain ones are used.
        if b"AMX_INT8 = 1" in api.llama_print_system_info():
            settings.use_extra_bufts = False
        self.pointer = api.llama_model_load_from_file(str(file).encode(), settings)
        if not self.pointer:
            raise BadInput(f"llama.cpp cannot load it ({last_words()})", file=file)
        weakref.finalize(self, api.llama_model_free, self.pointer)


class LlamaModel:
    """The weights of a GGUF file.

    Attributes:
        vocabulary: tokens in the file; `rows` come after them.
        max_tokens: of the context that it was trained with.
        threads: that compute, and `tried`: what a token took with each number that was tried, in
            seconds; empty where there was nothing to choose.

    Args:
        adapter: GGUF file of a LoRA adapter.
        threads: None to try what is free.
        cache: number format of keys and values, "f16" or "f32".

    Raises:
        BadInput: no llama.cpp, a damaged file, or a model whose past cannot be rolled back.
    """

    def __init__(
        self,
        file: Path,
        *,
        adapter: Path | None = None,
        rows: Rows | None = None,
        threads: int | None = None,
        cache: str = "f16",
    ) -> None:
        self.api = library()
        self.file, self.rows, self.cache = file, rows or Rows(0), cache
        self.weights = _Weights(self.api, file)
        self._pointer = self.weights.pointer
        self._refuse_other_pasts()
        self._vocab = self.api.llama_model_get_vocab(self._pointer)
        self.vocabulary: int = self.api.llama_vocab_n_tokens(self._vocab)
        self.width: int = self.api.llama_model_n_embd(self._pointer)
        self.max_tokens: int = self._exact_length()
        self.adapter = None if adapter is None else self._with_adapter(adapter)
        self.device, self.dtype = torch.device("cpu"), torch.float32  # of the scores
        self.threads, self.tried = threads or 1, dict[int, float]()
        if threads is None and (most := cores()) > 1:
            self.threads, self.tried = choose_threads(most, self._seconds)

    def _exact_length(self) -> int:
        """Find the context up to which positions are those of any length.

        Rotary embeddings of the kind longrope are others in a larger cache than that of the first
        training; a conversation takes two cells a position at most.
        """
        whole: int = self.api.llama_model_n_ctx_train(self._pointer)
        scaling = self.metadata(f"{self._kind}.rope.scaling.type")
        first = self._number("rope.scaling.original_context_length", whole)
        return whole if scaling in ("linear", "yarn") or first >= whole else first // 2

    def _refuse_other_pasts(self) -> None:
        api, pointer = self.api, self._pointer
        if api.llama_model_is_recurrent(pointer) or api.llama_model_is_hybrid(pointer):
            what = "layers have a past that cannot be rolled back"
        elif api.llama_model_has_encoder(pointer) or not api.llama_model_has_decoder(pointer):
            what = "text goes through an encoder"
        else:
            return
        raise BadInput(
            f"this model cannot hold two channels (its {what}): use a model whose layers are all "
            "attention",
            file=self.file,
        )

    def _with_adapter(self, file: Path) -> Any:
        found = self.api.llama_adapter_lora_init(self._pointer, str(file).encode())
        if not found:
            raise BadInput(f"llama.cpp cannot load this adapter: {last_words()}", file=file)
        return found

    def context(
        self, cells: int, rows: int, at_once: int | None = None, watch: Watch | None = None
    ) -> LlamaContext:
        """Make a llama.cpp context.

        Args:
            cells: of its cache.
            rows: sessions, of two sequences each.
            at_once: tokens that are computed at once of a pass, which may be wanted after all of
                them; None for `_AT_ONCE`, and as many as a pass of the sessions needs.
            watch: what takes hidden states out of it.

        Raises:
            BadInput: no memory for it.
        """
        api = self.api
        wanted = api.llama_context_default_params()
        wanted.n_ctx = wanted.n_batch = cells
        wanted.n_ubatch = min(cells, at_once or _AT_ONCE)
        wanted.n_seq_max = 2 * rows
        outputs = at_once or (NARROW if self.rows.head is not None else 2) * rows
        wanted.n_outputs_max = min(cells, outputs)
        if watch is not None:
            wanted.cb_eval = watch.callback
        wanted.n_threads = wanted.n_threads_batch = self.threads
        wanted.kv_unified = wanted.swa_full = True
        wanted.no_perf = True
        # The other attention rounds to half precision, differently in a wide pass and a narrow one.
        wanted.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        wanted.type_k = wanted.type_v = {"f16": 1, "f32": 0}[self.cache]  # of ggml_type
        made = api.llama_init_from_model(self._pointer, wanted)
        if not made:
            raise BadInput(
                f"llama.cpp makes no context of {cells} tokens: {last_words()}", file=self.file
            )
        if self.adapter is not None:
            scale = (ctypes.c_float * 1)(1.0)
            adapters = (api.llama_adapter_lora_p_ctypes * 1)(self.adapter)
            api.llama_set_adapters_lora(made, adapters, 1, scale)
        context = LlamaContext(api, made, Batch(api, cells, rows))
        # It goes before the weights and the callback that it uses.
        weakref.finalize(context, _free, api.llama_free, made, self.weights, watch)
        return context

    def _seconds(self, threads: int, enough: float) -> float:
        """Time a token of a little text, the best of a few; give up after four times `enough`."""
        self.threads = threads
        took: list[float] = []
        decode = self._little()
        decode([0] * 4, 0)
        while len(took) < _TRIES and sum(took) < 4 * enough:
            began = time.perf_counter()
            decode([0], 4 + len(took))
            took.append(time.perf_counter() - began)
        return min(took)

    def _little(self) -> Callable[..., np.ndarray]:
        """Make a small context; what decodes tokens in it, from a position on, returns logits."""
        context = self.context(256, 1)

        def decode(ids: list[int], first: int, vectors: np.ndarray | None = None) -> np.ndarray:
            context.cut(0, first)
            last = len(ids) - 1
            tokens = [(token, first + n, 0, n == last) for n, token in enumerate(ids)]
            if code := context.decode(tokens, vectors):
                raise BadInput(f"llama.cpp cannot run it ({code}): {last_words()}", file=self.file)
            return np.ctypeslib.as_array(context.logits(last), (self.vocabulary,)).copy()

        return decode

    @property
    def pace(self) -> str:
        """Say with how many threads it computes, and why."""
        tried = ", ".join(f"{count}: {1 / took:.1f}" for count, took in self.tried.items())
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return threads + (f" (tokens a second with {tried})" if tried else "")

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a text or a turn, by the file."""
        api = self.api
        found = {api.llama_vocab_eos(self._vocab), api.llama_vocab_eot(self._vocab)}
        return frozenset(number for number in found if number >= 0)

    def encode(self, text: str) -> list[int]:
        """Encode a text by llama.cpp's own tokenizer, without what it would add at the ends."""
        data = text.encode()
        room = len(data) + 8
        ids = (self.api.llama_token * room)()
        count = self.api.llama_tokenize(self._vocab, data, len(data), ids, room, False, True)
        return list(ids[: max(count, 0)])

    @property
    def blocks(self) -> int:
        """How many layers the model has."""
        return int(self.api.llama_model_n_layer(self._pointer))

    @cached_property
    def token_bytes(self) -> int:
        """Bytes of keys and values of a token."""
        api, pointer = self.api, self._pointer
        size = self.width // api.llama_model_n_head(pointer)
        each = sum(self._number(f"attention.{part}_length", size) for part in ("key", "value"))
        heads, number = api.llama_model_n_head_kv(pointer), 2 if self.cache == "f16" else 4
        return int(self.blocks * heads * each * number)

    @cached_property
    def _kind(self) -> str:
        return self.metadata("general.architecture")

    def _number(self, name: str, default: int) -> int:
        found = self.metadata(f"{self._kind}.{name}")
        return int(found) if found.isdecimal() else default

    def metadata(self, key: str) -> str:
        """Read a value of the file's metadata; "" if it is not there."""
        size = self.api.llama_model_meta_val_str(self._pointer, key.encode(), None, 0)
        if size < 0:
            return ""
        buffer = ctypes.create_string_buffer(size + 1)
        self.api.llama_model_meta_val_str(self._pointer, key.encode(), buffer, size + 1)
        return buffer.value.decode("utf-8", "replace")

    def write_scores(self, scores: np.ndarray, logits: Any, hidden: Any) -> None:
        """Copy a token's scores out of llama.cpp, and put those of `rows` behind them.

        Args:
            scores: `[vocabulary and rows]`, to be written.
            logits: pointer to `[vocabulary]`.
            hidden: pointer to `[width]`; None where it is not wanted.
        """
        ctypes.memmove(scores.ctypes.data, logits, 4 * self.vocabulary)
        rows, more = self.rows, scores[self.vocabulary :]
        if rows.head is None or hidden is None:
            more[:] = scores[: self.vocabulary].mean()
        else:
            more[:] = rows.head @ np.ctypeslib.as_array(hidden, (self.width,))
            if rows.bias is not None:
                more += rows.bias
            if rows.above:
                more += scores[: self.vocabulary].max()

    def embedded(self, ids: Sequence[int]) -> np.ndarray:
        """Look up the input embeddings of tokens, those of `rows` too: `[len(ids), width]`."""
        numbers = np.array(ids)
        found = self.embeddings[np.minimum(numbers, self.vocabulary - 1)]
        strange = numbers >= self.vocabulary
        if strange.any():
            own = self.rows.embedding
            found[strange] = (
                self.mean_embedding if own is None else own[numbers[strange] - self.vocabulary]
            )
        return found * np.float32(self.embedding_scale)

    @cached_property
    def embedding_scale(self) -> float:
        """Find by what embeddings are multiplied before they are handed over, by a few tokens.

        Llama.cpp scales Gemma 3's rows where a token is given, and not where an embedding is.

        Raises:
            BadInput: embeddings are not what tokens are, whatever they are multiplied by.
        """
        ids = [1, 2, 3]
        rows = self.embeddings[np.array(ids)]
        decode = self._little()
        wanted = decode(ids, 0)
        for scale in (1.0, self.width**0.5):
            found = decode(ids, 0, scale * rows)
            if np.allclose(found, wanted, atol=0.01 * float(np.ptp(wanted))):
                return scale
        raise BadInput("llama.cpp takes no state tokens in this model", file=self.file)

    @cached_property
    def embeddings(self) -> Matrix:
        """The input embeddings; `duo.gguf_model` sets them, as it takes seconds to find them."""
        from gguf import GGUFReader

        return find_matrix(GGUFReader(self.file), self.file, EMBEDDINGS)

    @cached_property
    def mean_embedding(self) -> np.ndarray:
        """The mean of the input embeddings; `duo.gguf_model` sets it, as it takes seconds, too."""
        return self.embeddings.mean()


def _free(free: Callable[[Any], None], pointer: Any, *used: Any) -> None:
    """Free what is at a pointer; what it used lives until then."""
    free(pointer)


class LlamaContext:
    """A context of llama.cpp: the cells of some sequences, and a batch to fill them from."""

    def __init__(self, api: Any, pointer: Any, batch: Batch) -> None:
        self._api, self.pointer, self._batch = api, pointer, batch
        self.memory = api.llama_get_memory(pointer)

    def cut(self, sequence: int, length: int) -> None:
        """Roll a sequence back to its first `length` tokens."""
        self._api.llama_memory_seq_rm(self.memory, sequence, length, -1)

    def decode(
        self,
        tokens: Sequence[tuple[int, int, int, bool]],
        vectors: np.ndarray | None = None,
        *,
        all_wanted: bool = False,
    ) -> int:
        """Run one `llama_decode`; return its code, 0 if it went well.

        Args:
            tokens: id, position, sequences as `Batch` numbers them, and whether it is wanted.
            vectors: their embeddings, in place of ids.
            all_wanted: every token is.
        """
        return self._api.llama_decode(
            self.pointer, self._batch.filled(tokens, vectors, all_wanted=all_wanted)
        )

    def logits(self, place: int) -> Any:
        """Point to the logits after a token of the last pass that was wanted."""
        return self._api.llama_get_logits_ith(self.pointer, place)


class Batch:
    """The arrays of a `llama_batch`, which are filled anew for each pass."""

    def __init__(self, api: Any, cells: int, rows: int) -> None:
        self._ids = np.zeros(cells, np.int32)
        self._positions = np.zeros(cells, np.int32)
        self._counts = np.zeros(cells, np.int32)
        self._sequences = np.zeros(cells, np.uintp)
        self._wanted = np.zeros(cells, np.int8)
        # Of a row: its first sequence, its second, both.
        self._numbers = np.array([[2 * row, 2 * row + 1] for row in range(rows)], np.int32)
        self._places = np.zeros(3 * rows, np.uintp)
        for row in range(rows):
            first = self._numbers[row].ctypes.data
            self._places[3 * row : 3 * row + 3] = first, first + 4, first
        self._sizes = np.tile([1, 1, 2], rows).astype(np.int32)
        self._batch = api.llama_batch()
        kinds = dict(api.llama_batch._fields_)
        for name, array in (
            ("pos", self._positions),
            ("n_seq_id", self._counts),
            ("seq_id", self._sequences),
            ("logits", self._wanted),
        ):
            setattr(self._batch, name, ctypes.cast(array.ctypes.data, kinds[name]))
        self._kinds = kinds

    def filled(
        self,
        tokens: Sequence[tuple[int, int, int, bool]],
        vectors: np.ndarray | None,
        *,
        all_wanted: bool,
    ) -> Any:
        """Write tokens (id, position, sequences, wanted); by embeddings, if these are given."""
        count = len(tokens)
        facts = np.array(tokens, np.int64)
        self._ids[:count], self._positions[:count] = facts[:, 0], facts[:, 1]
        self._counts[:count] = self._sizes[facts[:, 2]]
        self._sequences[:count] = self._places[facts[:, 2]]
        self._wanted[:count] = 1 if all_wanted else facts[:, 3]
        self._vectors = None if vectors is None else np.ascontiguousarray(vectors, np.float32)
        ids = 0 if self._vectors is not None else self._ids.ctypes.data
        given = 0 if self._vectors is None else self._vectors.ctypes.data
        self._batch.n_tokens = count
        self._batch.token = ctypes.cast(ids, self._kinds["token"])
        self._batch.embd = ctypes.cast(given, self._kinds["embd"])
        return self._batch
