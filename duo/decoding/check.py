"""Check that a model decodes two channels in one pass exactly, on the model itself.

Architectures differ in what they make of a mask and of positions that are handed to them: some
ignore them, some count tokens instead, some keep no past that could be shared. So nothing is
assumed: a short conversation with a fork goes through the slots, and each channel alone through the
plain forward pass, which knows nothing of ours; the logits must agree. It takes milliseconds on
small models; the result for a large one is remembered in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from duo.decoding.mask import Owner
from duo.decoding.static import StaticModel, reads
from duo.errors import BadInput, first_line
from duo.files import read_json, write_json
from duo.fusion import fusion_of, paired
from duo.quantising import is_quantised
from duo.terminal import quiet
from duo.wheels import cache_folder, cache_writes

#: Raised whenever the check itself changes, so that no result of an older one is believed.
_VERSION = 3

#: By how much logits may differ, as a share of their spread over the vocabulary (both root mean
#: square): at every place in single and double precision; on average in half precision, in which
#: only a model is checked that has no room for its weights in single precision: rounding alone
#: makes 0.07 on the embedded model, a channel that sees the other 0.6.
_EXACT, _HALF = 1e-3, 0.3
_FAILS = "its code fails on our mask or cache"

#: From this number of weights on, the result is remembered.
_LARGE = 2**24
#: Operations that a check may cost. A window that is too long for that is not filled.
_WORK = {"cpu": 2e11, "cuda": 5e14}
_PREFIX = 11

#: What was found of the models of this process, by what of them can be changed.
_found: WeakKeyDictionary[PreTrainedModel, dict[Any, Any]] = WeakKeyDictionary()


def check(model: PreTrainedModel, *, fused: bool = True) -> None:
    """Make sure that a model decodes two channels exactly, and conversations side by side.

    Args:
        fused: both channels in one pass (`FusedChannels`), else one after the other.

    Raises:
        BadInput: it does not; with what does.
    """
    if reason := fault(model, fused=fused):
        raise BadInput(reason)


def fault(model: PreTrainedModel, *, fused: bool = True) -> str:
    """Say in a line why a model cannot hold two channels, and what can; empty if it can."""
    if fused and is_static(model):
        return ""
    return _examined(model, _examine if fused else _examine_sequential)


def is_static(model: PreTrainedModel) -> bool:
    """Tell whether `StaticModel` computes what a model does: it is of the family, and agrees."""
    return reads(model) and not _examined(model, _examine_static)


def _examined(model: PreTrainedModel, examine: Callable[[PreTrainedModel], str]) -> str:
    """Examine a model, once as it is now."""
    known = _found.setdefault(model, {})
    changeable = fusion_of(model), model.config._attn_implementation, model.dtype, model.device
    key = (examine, *changeable)
    if key not in known:
        known[key] = _remembered(model, examine)
    return known[key]


def exact_length(model: PreTrainedModel) -> int | None:
    """Find up to how many positions the logits of a text depend on that text alone.

    Some rotary embeddings change for the whole text when it becomes longer than the first training
    was (longrope), which two channels over one prefix, or two conversations in a pass, cannot.

    Returns:
        The length of the context, or of that first training; None where the model names neither.
    """
    known = _found.setdefault(model, {})
    if "length" not in known:
        known["length"] = _exact_length(model)
    return known["length"]


def keeps_samples_apart(model: Any) -> bool:
    """Tell whether samples in one row, whose positions restart, see nothing of each other.

    Args:
        model: a causal LM or a PEFT model of one; left in the mode that it is in.
    """
    config = model.config.get_text_config()
    ids = _some_ids(config, 16)
    one, other = ids[:9], ids[9:]
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), quiet():
            packed, *alone = (
                model(
                    input_ids=torch.tensor([row], device=model.device),
                    position_ids=torch.tensor([places], device=model.device),
                    use_cache=False,
                ).logits[0]
                for row, places in (
                    (ids, [*range(9), *range(7)]),
                    (one, [*range(9)]),
                    (other, [*range(7)]),
                )
            )
    except Exception:  # it takes no positions, or not these
        return False
    finally:
        model.train(training)
    return _agree(list(zip(packed, torch.cat(alone), strict=True)))


def _exact_length(model: PreTrainedModel) -> int | None:
    config = model.config.get_text_config()
    whole = getattr(config, "max_position_embeddings", None)
    if not isinstance(whole, int):
        return None
    shorter = {length for length in _original_lengths(config.to_dict()) if length < whole}
    if not shorter:
        return whole
    ids = _some_ids(config, 8)
    near, far = torch.arange(8), torch.arange(whole - 8, whole)
    try:
        with _single_precision(model), torch.inference_mode():
            alone, beside = (
                model(
                    input_ids=torch.tensor([ids] * len(rows), device=model.device),
                    position_ids=torch.stack(rows).to(model.device),
                    use_cache=False,
                ).logits[0]
                for rows in ([near, near], [near, far])
            )
    except Exception:  # whatever it is, `fault` meets it too, and says it
        return whole
    return whole if _agree([(beside[place], alone[place]) for place in range(8)]) else min(shorter)


def _original_lengths(config: dict[str, Any]) -> Iterable[int]:
    for name, value in config.items():
        if name == "original_max_position_embeddings" and isinstance(value, int):
            yield value
        elif isinstance(value, dict):
            yield from _original_lengths(value)


# -- the check -----------------------------------------------------------------------------------


def _examine(model: PreTrainedModel) -> str:
    why = _difference(model, _fused)
    if not why:
        return ""
    name = type(model).__name__
    usual = model.config._attn_implementation
    if usual != "eager":
        try:
            with quiet():
                model.set_attn_implementation("eager")
            if not _difference(model, _fused):
                return f"{name} is not exact with {usual} attention ({why}): use eager attention"
        except ValueError:  # it has no other
            pass
        finally:
            with quiet():
                model.set_attn_implementation(usual)
    if _difference(model, _sequential):
        return f"{name} cannot hold two channels ({why}): {_OTHER}"
    return f"{name} cannot hold two channels in one pass ({why}): use the system duo-sequential"


def _examine_static(model: PreTrainedModel) -> str:
    return _difference(model, _static)


def _examine_sequential(model: PreTrainedModel) -> str:
    why = _difference(model, _sequential)
    return why and f"{type(model).__name__} cannot go on from a cache ({why}): {_OTHER}"


_OTHER = "use a model whose layers are all attention"


def _sequential(model: PreTrainedModel) -> list[Any]:
    from duo.decoding.sequential import SequentialChannels

    return [SequentialChannels(model), SequentialChannels(model)]


def _fused(model: PreTrainedModel) -> list[Any]:
    from duo.decoding.fused import FusedChannels
    from duo.decoding.slots import SlotPool

    pool = SlotPool(model, 3)
    return [FusedChannels(model, pool), FusedChannels(model, pool)]


def _static(model: PreTrainedModel) -> list[Any]:
    from duo.decoding.fused import FusedChannels
    from duo.decoding.passes import StaticPool

    pool = StaticPool(StaticModel(model), 3)
    return [FusedChannels(model, pool), FusedChannels(model, pool)]


def _difference(model: PreTrainedModel, make: Callable[[PreTrainedModel], list[Any]]) -> str:
    """Say how a conversation in channels differs from plain passes; empty if it does not."""
    with _single_precision(model) as changed:
        found = _difference_as_it_is(model, make)
    if changed and found.startswith(_FAILS):  # some parts may be made for half precision alone
        return _difference_as_it_is(model, make)
    return found


@contextmanager
def _single_precision(model: PreTrainedModel) -> Iterator[bool]:
    """Give a model in half precision weights in single precision, within, where they fit.

    One with weights of fewer bits stays as it is: these have no other precision.
    """
    kept = [(weight, weight.data) for weight in model.parameters() if weight.dtype in _HALVES]
    if any(map(is_quantised, model.parameters())):
        kept = []
    changed = bool(kept)
    try:
        for weight, data in kept:
            weight.data = data.float()
    except torch.OutOfMemoryError:
        changed = False
    try:
        if not changed:
            _restore(kept)
        yield changed
    finally:
        _restore(kept)


_HALVES = (torch.bfloat16, torch.float16)


def _restore(kept: Iterable[tuple[torch.nn.Parameter, Tensor]]) -> None:
    for weight, data in kept:
        weight.data = data


def _difference_as_it_is(
    model: PreTrainedModel, make: Callable[[PreTrainedModel], list[Any]]
) -> str:
    """Compare, in the model's present precision.

    Two conversations: in the first one answer is given while an utterance is heard, revised, and
    made the context; the second only goes on beside it, and a third, in the end, stands at the last
    positions there are.
    """
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), quiet():
            found = _conversation(model, make(model))
            plain = _plain(model, [ids for ids, _ in found])
            pairs = [(got, logits) for (_, got), logits in zip(found, plain, strict=True)]
    except Exception as error:  # architectures fail in as many ways as there are
        if isinstance(error, BadInput):
            return error.message
        return f"{_FAILS}: {first_line(error)[:100]}"
    finally:
        model.train(training)
    if _agree(pairs):
        return ""
    return "its logits are not those of a plain forward pass"


def _conversation(model: PreTrainedModel, both: list[Any]) -> list[tuple[list[int], Tensor]]:
    """Hold the conversations; list token sequences and the logits after them."""
    from duo.decoding.channels import encode_together

    found: list[tuple[list[int], Tensor]] = []
    config = model.config.get_text_config()
    length = _prefix_length(model)
    ids = _some_ids(config, length + 40)
    if fusion_of(model) in ("early", "middle"):  # `late` is added after the passes
        ids[1::2] = list(map(paired, ids[1::2], ids[::2]))
    draw = iter(ids[length:])

    def some(count: int) -> list[int]:
        return [next(draw) for _ in range(count)]

    def encode(channels: list[Any]) -> None:
        for one, scores in zip(channels, encode_together(channels), strict=True):
            said = [*one.prefix.ids, *one.output.ids]
            if scores.output is not None:
                found.append((said, scores.output))
            if scores.input is not None and one.input is not None:
                found.append(([*one.prefix.ids, *one.input.ids], scores.input))

    first, second = both
    first.speaking = second.speaking = True
    first.extend_prefix(ids[:length])
    encode([first])
    second.extend_prefix(some(3))
    first.speak(*some(1))
    encode([first, second])
    heard = some(4)
    first.fork(heard)
    first.speak(*some(1))
    second.speak(*some(1))
    encode([first, second])
    first.speak(*some(1))
    first.listen([*heard[:2], *some(3)])
    encode([first])
    second.fork(some(3))
    second.speak(*some(1))
    first.speak(*some(1))
    encode([first, second])
    first.promote()
    first.extend_prefix(some(2))
    encode([first])
    first.speak(*some(1))
    if hasattr(first, "pool") and (last := exact_length(model)):
        _beside_the_last_positions(first, last, some(2), found)
    else:
        encode([first])
    return found


def _beside_the_last_positions(
    channels: Any, last: int, ids: list[int], found: list[tuple[list[int], Tensor]]
) -> None:
    """Encode one token in a pass with two of another row, at the end of all positions."""
    from duo.decoding.channels import Chunk

    chunk = channels.begin_pass()
    far = Chunk(2, 2, ids, [Owner.PREFIX] * 2, [last - 2, last - 1], [0, 1], [1])
    logits, _ = channels.pool.forward([chunk, far])
    found.append(([*channels.prefix.ids, *channels.output.ids], logits[0]))


def _plain(model: PreTrainedModel, texts: Sequence[list[int]]) -> list[Tensor]:
    """Compute the logits after each text, with nothing but ids given to the model.

    A text that another begins with is not computed again.
    """
    found: dict[int, Tensor] = {}
    for text in sorted(texts, key=len, reverse=True):
        begun = [n for n, ids in enumerate(texts) if n not in found and text[: len(ids)] == ids]
        if not begun:
            continue
        kept = len(text) - min(len(texts[n]) for n in begun) + 1
        out = model(
            input_ids=torch.tensor([text], device=model.device),
            use_cache=False,
            logits_to_keep=kept,
        )
        for n in begun:
            found[n] = out.logits[0, len(texts[n]) - len(text) - 1]
    return [found[n] for n in range(len(texts))]


def _agree(pairs: Sequence[tuple[Tensor, Tensor]]) -> bool:
    """Tell whether logits `[vocabulary]` are the same but for rounding."""
    shares = []
    for got, expected in pairs:
        wide = torch.promote_types(expected.dtype, torch.float32)
        spread = expected.to(wide).std()
        shares.append(float((got.to(wide) - expected.to(wide)).square().mean().sqrt() / spread))
    if pairs[0][1].dtype in (torch.float32, torch.float64):
        return all(share < _EXACT for share in shares)
    return sum(shares) / len(shares) < _HALF


def _prefix_length(model: PreTrainedModel) -> int:
    """Choose a prefix that is longer than the layers' windows, where these are not too long."""
    from duo.decoding.attention import attention_layers

    try:
        windows = [window for window in attention_layers(model).values() if window is not None]
    except BadInput:  # such layers may still be decoded one channel after the other
        windows = []
    length = max([_PREFIX, *(window + 3 for window in windows)])
    passes = 5
    work = 2 * passes * length * model.num_parameters()
    longest = exact_length(model) or length + 32
    fits = work <= _WORK.get(model.device.type, 2e11) and length + 32 <= longest
    return length if fits else _PREFIX


def _some_ids(config: Any, count: int) -> list[int]:
    """Draw ordinary tokens; always the same."""
    special: set[int] = set()
    for name, value in config.to_dict().items():
        if name.endswith(("_token_id", "_token_ids")):
            special |= set(value) if isinstance(value, list) else {value}
    draw = random.Random(0)
    ids: list[int] = []
    while len(ids) < count:
        if (number := draw.randrange(config.vocab_size)) not in special:
            ids.append(number)
    return ids


# -- remembering ---------------------------------------------------------------------------------


def _remembered(model: PreTrainedModel, examine: Callable[[PreTrainedModel], str]) -> str:
    """Take the result of a large model from the cache folder, or put it there."""
    if model.num_parameters() < _LARGE:
        return examine(model)
    file = cache_folder() / "checks" / f"{_identity(model, examine.__name__)}.json"
    try:
        return str(read_json(file)["fault"])
    except (BadInput, KeyError, TypeError):
        pass
    found = examine(model)
    with suppress(BadInput), cache_writes():  # no room: then it is found again the next time
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"model": type(model).__name__, "fault": found})
    return found


def _identity(model: PreTrainedModel, what: str) -> str:
    """Hash what the result depends on: configuration, some of every weight, versions, device."""
    plain = [weight for weight in model.parameters() if not is_quantised(weight)]
    facts = (
        _VERSION, what, len(plain), torch.__version__, transformers.__version__,
        type(model).__name__, model.config._attn_implementation, str(model.dtype),
        model.device.type, model.config.to_json_string(),
    )  # fmt: skip
    some = torch.cat([weight.detach().flatten()[:2].float() for weight in plain])
    digest = hashlib.sha256(json.dumps(facts).encode())
    digest.update(some.cpu().numpy().tobytes())
    return digest.hexdigest()[:32]
