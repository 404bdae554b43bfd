"""Make the passes of training cheap without changing what they compute.

Most of a model with an adapter is frozen. What its training computes needlessly is mended here; the
weights that are learned, and what is saved of them, stay PEFT's:

- PEFT writes the state tokens' rows into a copy of the whole embedding in every pass, and computes
  the gradient of the whole output head, to keep three rows of it. Here the frozen matrix is used as
  it is, and the rows beside it.
- Autocast converts every frozen matrix anew in every pass. Here that is done once, with the same
  result. The embedding stays as it is: what it gives is the residual stream, in float32.

And `transformers` waits for the device in every pass, to see whether rows are packed. Here it is
told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import masking_utils

from duo.decoding.reading import states_only_where
from duo.errors import BadInput


def ease_frozen(model: Any, *, half: bool) -> None:
    """Change how a PEFT model computes, not what.

    Args:
        model: with LoRA and trainable rows, in float32; changed in place.
        half: whether it is trained under autocast to bfloat16. Then its frozen matrices are kept in
            bfloat16, and it cannot be used without autocast any more.
    """
    from peft.tuners.trainable_tokens.layer import TrainableTokensLayer

    rows = [module for module in model.modules() if isinstance(module, TrainableTokensLayer)]
    embeddings = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)
    }
    for layer in rows:
        [(adapter, numbers)] = layer.token_indices.items()
        weight = layer.base_layer.weight.detach()
        head = isinstance(layer.base_layer, nn.Linear)
        copied = half and head and id(layer.base_layer.weight) in embeddings
        layer.register_buffer("rows", torch.tensor(numbers), persistent=False)
        layer.register_buffer("frozen", weight.bfloat16() if copied else None, persistent=False)
        layer.forward_adapters = partial(_head if head else _embedding, layer, adapter)
    if half:
        for module in model.modules():
            if (
                isinstance(module, nn.Linear)
                and not module.weight.requires_grad
                and id(module.weight) not in embeddings
            ):
                module.weight.data = module.weight.data.bfloat16()


@contextmanager
def rows_known(*, packed: bool) -> Iterator[None]:
    """Tell `transformers`, within, whether rows hold several samples, so that it need not look.

    Args:
        packed: whether they do; then position numbers restart with each sample.
    """

    def samples(position_ids: Tensor) -> Tensor | None:
        return (position_ids == 0).cumsum(-1) if packed else None

    looking = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = samples
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = looking


def check_head(model: Any) -> None:
    """Make sure that logits are what the output head makes of `states_only_where`.

    Raises:
        BadInput: the model does more with them, such as soft caps.
    """
    ids = torch.arange(4, device=model.device)
    training = model.training
    model.eval()  # what is dropped at random is another thing in each pass
    try:
        with torch.no_grad():
            logits = model(input_ids=ids[None], use_cache=False).logits[0]
            with states_only_where(model, ids):
                states = model(input_ids=ids[None], use_cache=False).logits
            made = model.get_output_embeddings()(states)[0]
    finally:
        model.train(training)
    if not torch.allclose(made, logits, rtol=1e-3, atol=1e-4):
        said = "this architecture's scores are more than a product of its output head: leave it out"
        raise BadInput(said, field="loss_places")


def compile_layers(model: Any, backend: str = "inductor") -> None:
    """Have `torch.compile` make kernels for a model's layers, once for all layers and lengths.

    Raises:
        BadInput: the architecture does not say what its layers are.
    """
    for layer in blocks(model, field="compile").values():
        layer.compile(backend=backend, dynamic=True)


def blocks(model: Any, *, field: str) -> dict[str, Any]:
    """Find a model's layers by name, from the input on.

    Raises:
        BadInput: the architecture does not say what its layers are.
    """
    whole = [module for module in model.modules() if hasattr(module, "config")]
    names = {name for one in whole for name in getattr(one, "_no_split_modules", None) or ()}
    found = {
        name: module for name, module in model.named_modules() if type(module).__name__ in names
    }
    if not found:
        raise BadInput("this architecture does not say what its layers are", field=field)
    return found


def begin_at(block: Any) -> None:
    """End differentiation below a block: nothing is learned there."""

    def detached(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if given:
            return (given[0].detach(), *given[1:]), named
        return given, named | {"hidden_states": named["hidden_states"].detach()}

    block.register_forward_pre_hook(detached, with_kwargs=True)


def _embedding(layer: Any, adapter: str, ids: Tensor, active: Sequence[str]) -> Tensor:
    found = layer.base_layer(ids)
    if layer.disable_adapters or not active:
        return found
    own = ids[..., None] == layer.rows
    learned = functional.embedding(own.int().argmax(-1), layer.trainable_tokens_delta[adapter])
    if (scale := layer._get_embed_scale()) is not None:
        learned = learned * scale.to(learned.dtype)
    return torch.where(own.any(-1, keepdim=True), learned, found)


def _head(layer: Any, adapter: str, hidden: Tensor, active: Sequence[str]) -> Tensor:
    bias = layer.base_layer.bias
    weight = layer.base_layer.weight if layer.frozen is None else layer.frozen
    logits = functional.linear(hidden, weight, bias)
    if layer.disable_adapters or not active:
        return logits
    rows = layer.trainable_tokens_delta[adapter]
    own = functional.linear(hidden, rows, None if bias is None else bias[layer.rows])
    return logits.index_copy_(-1, layer.rows, own.to(logits.dtype))
