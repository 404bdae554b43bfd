"""Read what the libraries leave out of a GGUF file: rows of a matrix, and the pre-tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from duo.errors import BadInput


@dataclass(frozen=True)
class Matrix:
    """A matrix in a file, of which rows are read as they are wanted.

    Attributes:
        file: GGUF.
        offset: of its first byte.
        kind: number of its number format, of ggml.
        rows, width: its shape.
    """

    file: Path
    offset: int
    kind: int
    rows: int
    width: int

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return these rows in float32, `[rows, width]`."""
        from gguf import GGMLQuantizationType, dequantize

        found: np.ndarray = dequantize(self._data[rows], GGMLQuantizationType(self.kind))
        return found.astype(np.float32, copy=False)

    def mean(self, at_once: int = 8192) -> np.ndarray:
        """Compute the mean of all rows, float32 `[width]`."""
        starts = range(0, self.rows, at_once)
        total = sum(
            self[slice(start, start + at_once)].sum(0, dtype=np.float64) for start in starts
        )
        return (total / self.rows).astype(np.float32)

    @cached_property
    def _data(self) -> np.ndarray:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        plain = {GGMLQuantizationType.F32: np.float32, GGMLQuantizationType.F16: np.float16}
        kind = GGMLQuantizationType(self.kind)
        block, size = GGML_QUANT_SIZES[kind]
        items = self.width if kind in plain else self.width // block * size
        dtype: Any = plain.get(kind, np.uint8)
        shape = self.rows, items
        return np.memmap(self.file, dtype, "r", self.offset, shape)


def find_matrix(reader: Any, file: Path, name: str) -> Matrix:
    """Find a matrix by the name that it has in a file.

    Args:
        reader: `gguf.GGUFReader` of the file, which takes seconds to open.

    Raises:
        BadInput: there is none.
    """
    tensor = next((tensor for tensor in reader.tensors if tensor.name == name), None)
    if tensor is None:
        raise BadInput(f"has no tensor {name}", file=file)
    width, rows = (int(size) for size in tensor.shape)
    return Matrix(file, int(tensor.data_offset), int(tensor.tensor_type), rows, width)


def set_pre_tokenizer(tokenizer: Any, name: str) -> None:
    """Give a tokenizer the pre-tokenizer of a file, as far as `transformers` does not read it.

    The file has only its name, and what that means stands in llama.cpp's code.
    """
    from tokenizers import pre_tokenizers

    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    elif name == "gpt-2":
        tokenizer.backend_tokenizer.pre_tokenizer = words
