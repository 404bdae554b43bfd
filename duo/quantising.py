"""Keep a model's weights in eight or four bits, by torchao."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from duo.errors import BadInput, first_line

if TYPE_CHECKING:
    from torch import Tensor

#: Names of number formats, and their bits.
BITS = {"int8": 8, "int4": 4}
_HOW_TO_GET_IT = "torchao is not installed: pip install 'duo-duplex[quantised]'"


def quantise(model: Any, dtype: str) -> None:
    """Keep the weights of all linear layers but the output head in fewer bits, in place.

    What is computed with them is in the model's own precision. Embeddings and the head stay as they
    are: state tokens are rows of them.

    Args:
        model: a causal LM of `transformers`.
        dtype: one of `BITS`; "int4" needs a CUDA device.

    Raises:
        BadInput: torchao is not here, or has no such format on this device.
    """
    try:
        from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_
    except ImportError:
        raise BadInput(_HOW_TO_GET_IT, field="dtype") from None
    from torch.nn import Linear

    if BITS[dtype] == 4 and model.device.type != "cuda":
        raise BadInput("int4 is for CUDA devices; on a CPU, take a GGUF file of four bits",
                       field="dtype")  # fmt: skip
    head = model.get_output_embeddings()
    # The packing is the one whose products torch itself has, on GPUs in bfloat16; others need more
    # packages. And what inductor does elsewhere in this process is not torchao's to choose.
    how: dict[str, Any] = {"set_inductor_config": False}
    try:
        if BITS[dtype] == 8:
            config = Int8WeightOnlyConfig(**how)
        else:
            config = Int4WeightOnlyConfig(int4_packing_format="tile_packed_to_4d", **how)
        quantize_(
            model, config, lambda module, _: isinstance(module, Linear) and module is not head
        )
    except Exception as error:  # each format needs packages, devices and sizes of its own
        said = f"torchao cannot make {dtype} here: {first_line(error)}"
        raise BadInput(said, field="dtype") from error


def is_quantised(weight: Any) -> bool:
    """Tell whether a weight is a tensor of torchao's, which knows products and little else."""
    return type(weight).__module__.partition(".")[0] == "torchao"


def stored_bytes(weights: Iterable[Tensor]) -> int:
    """Count the bytes that weights are kept in, memory that several share once.

    A weight of few bits consists of several tensors. It has itself no address, and says the bytes
    that it would have in the number format that is computed in.
    """
    parts = {part.data_ptr(): part.nbytes for weight in weights for part in _stored(weight)}
    return sum(parts.values())


def _stored(weight: Tensor) -> Iterator[Tensor]:
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    if not is_traceable_wrapper_subclass(weight):
        yield weight
        return
    names, _ = weight.__tensor_flatten__()
    for name in names:
        yield from _stored(getattr(weight, name))
