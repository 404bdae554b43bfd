"""Build the systems that can be recorded and measured, by name.

A new system of ours is one file beside this one and one line here. Anybody else's is named by its
place, `package.module:factory`; the factory is called as `factory(backbone, seed=..., **settings)`
and returns a `Conversant`. The backbone is None where no model was asked for.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from duo.decoding.conversant import Conversant
from duo.errors import BadInput
from duo.tokens import CONTROL_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from duo.backbone import Backbone
    from duo.decoding.channels import Channels
    from duo.decoding.llama_model import LlamaModel
    from duo.decoding.server import ServerModel

#: name -> what it is, in a line (for help texts).
SYSTEMS: dict[str, str] = {
    "duo": "two channels in one forward pass (the paper)",
    "duo-sequential": "one channel after the other (the published code, corrected)",
    "vita": "one instance speaks, one listens, and they swap roles (after VITA)",
    "fsm": "listening and speaking are states in one stream (after Wang et al.)",
    "micro-turn": "turns of one cycle with control tokens (after DuplexCascade)",
    "lslm-early": "what is heard is added to the input embeddings of what is said (after LSLM)",
    "lslm-middle": "... to the input of every layer",
    "lslm-late": "... to what the logits are computed from",
    "duplex": "two-second time slices (MiniCPM-Duplex, the baseline)",
    "turn-based": "answers after a silence, listens only then (what people have today)",
}
SYSTEM_NAMES: tuple[str, ...] = tuple(SYSTEMS)

#: Where the class of each is, and that of its settings.
_PLACES = {
    "duo": ("duo:Duo", "duo:DuoSettings"),
    "duo-sequential": ("duo:Duo", "duo:DuoSettings"),
    "vita": ("vita:Vita", "vita:VitaSettings"),
    "fsm": ("fsm:Fsm", "stream:StreamSettings"),
    "micro-turn": ("micro_turn:MicroTurn", "stream:StreamSettings"),
    **dict.fromkeys(("lslm-early", "lslm-middle", "lslm-late"), ("lslm:Lslm", "lslm:LslmSettings")),
    "duplex": ("duplex:Duplex", "duplex:DuplexSettings"),
    "turn-based": ("turn_based:TurnBased", "turn_based:TurnBasedSettings"),
}

#: Rows of a pool that one conversation takes, where it is more than one.
ROWS = {"vita": 2}

#: What each talks with where nobody names a model: the embedded one, as trained for it. Those that
#: it was not trained for, but `turn-based`, decide by chance.
DEFAULT_MODELS: dict[str, str] = dict.fromkeys(SYSTEMS, "smollm2") | {
    "duo": "smollm2-duo",
    "duo-sequential": "smollm2-duo",
    "duplex": "smollm2-duplex",
}


def is_foreign(system: str) -> bool:
    """Tell whether a name is somebody's `package.module:factory`."""
    return ":" in system


def check_system(system: str) -> None:
    """Make sure that there is such a system, without loading anything heavy of ours.

    Raises:
        BadInput: no such system, or the foreign module or factory cannot be found.
    """
    if is_foreign(system):
        _foreign(system)
    elif system not in SYSTEMS:
        raise BadInput(
            f"unknown system {system!r}: choose {', '.join(SYSTEMS)} or package.module:factory"
        )


def models_for(systems: Sequence[str], wanted: Sequence[str] = ()) -> dict[str, str]:
    """Choose the model of each system.

    Args:
        wanted: `NAME` of a model for all systems, or `SYSTEM=NAME` for one; later ones win. A
            system that is not named has its default; a foreign one has none.

    Raises:
        BadInput: a model for a system that is not among `systems`.
    """
    models = {system: DEFAULT_MODELS[system] for system in systems if system in DEFAULT_MODELS}
    for one in wanted:
        system, equals, name = one.partition("=")
        if not equals:
            models |= dict.fromkeys(systems, one)
        elif system in systems and name:
            models[system] = name
        else:
            known = ", ".join(systems)
            raise BadInput(f"{one!r} is not MODEL or SYSTEM=MODEL ({known})", field="model")
    return models


#: What `qwen` is told: it was made for long written answers.
SPOKEN = (
    "You are talking with somebody, by voice. Answer in one or two short sentences, in plain "
    "spoken words: no lists, no headings, no code. They will ask if they want to know more."
)


def with_prompt(loading: Mapping[str, Any], models: Iterable[str]) -> dict[str, Any]:
    """Add the system prompt to how models are loaded, where none is given.

    It is the same for all systems that are compared: `SPOKEN` if `qwen` is among the models. Else
    each is told what its chat template says, as in its training, and so is a monitor.
    """
    from duo.wheels import QWEN

    return {"system": SPOKEN, **loading} if QWEN in models else dict(loading)


def check_settings(system: str, settings: Mapping[str, Any], *, seed: int = 0) -> None:
    """Make sure that a system can have these settings, as far as is known without building it.

    Raises:
        BadInput: unknown setting, or a value out of its range.
    """
    if not is_foreign(system):
        _settings(system, seed, settings)
    elif taken := settings.keys() & {"seed", "channels"}:  # what `build` itself takes
        raise BadInput(f"{system} has no setting {min(taken)!r}")


def build(
    system: str,
    backbone: Backbone | None,
    /,
    *,
    seed: int = 0,
    channels: Callable[[PreTrainedModel], Channels] | None = None,
    **settings: Any,
) -> Conversant:
    """Make a system ready for its first conversation.

    Args:
        system: a name of `SYSTEMS` or `package.module:factory`.
        backbone: the model that it talks with; a foreign system may do without.
        channels: what it computes with, in place of what `channels_for` chooses; for ours only.
        settings: fields of the system's settings (`lookahead`, `patience` ...), and of `Sampling`.

    Raises:
        BadInput: unknown system or setting, a value out of its range, or a model that does not
            decode exactly so.
    """
    check_system(system)
    if is_foreign(system):
        return _build_foreign(system, backbone, seed, settings)
    if backbone is None:
        raise BadInput(f"system {system!r} needs a model")

    chosen = _settings(system, seed, settings)
    made, _ = _classes(system)
    prepare(system, backbone)
    kind = channels or in_one_pool(
        channels_for(system, backbone.model), backbone.model, ROWS.get(system, 1)
    )
    named: dict[str, Any] = {"name": system} if "name" in inspect.signature(made).parameters else {}
    hears = backbone
    if monitor := getattr(chosen, "monitor", ""):
        from duo.gguf_model import has_gguf

        shared = backbone.engine == "llama" and has_gguf(monitor)
        hears = load_monitor(monitor, "llama" if shared else "auto")
        named |= {"monitor": hears, "monitor_channels": channels_for("duo", hears.model)}
    if hasattr(chosen, "decide_at") and "decide_at" not in settings:
        from duo.decoding.duo import usual_decide_at

        chosen = replace(chosen, decide_at=usual_decide_at(hears))
    return made(backbone, chosen, channels=kind, **named)


def prepare(system: str, backbone: Backbone) -> None:
    """Give a model what a system needs of it, before anything is made of its weights.

    Raises:
        BadInput: it cannot be given that.
    """
    if names := CONTROL_TOKENS.get(system):
        backbone.control(names)
    if system.startswith("lslm"):
        from duo.fusion import KINDS, add_fusion

        if backbone.engine != "torch":
            raise BadInput(f"{system} needs torch: --engine torch")
        add_fusion(backbone.model, next(kind for kind in KINDS if system.endswith(kind)))


@lru_cache(maxsize=1)
def load_monitor(name: str, engine: str) -> Backbone:
    """Load the model that decides; conversations that are held at once share it."""
    from duo.backbone import load

    return load(name, engine=engine)


def channels_for(
    system: str, model: PreTrainedModel | LlamaModel | ServerModel
) -> Callable[[Any], Channels]:
    """Choose what one of our systems computes with, and make sure that the model is exact so.

    Both channels go in one pass where the model takes our mask. Where it does not, systems that
    hold one channel at a time lose nothing by the plain passes of `SequentialChannels`; `duo` would
    lose what it is, and is refused.

    Raises:
        BadInput: the model does not decode exactly so; see `duo.decoding.check`.
    """
    from duo.decoding.llama import LlamaChannels
    from duo.decoding.llama_model import LlamaModel
    from duo.decoding.server import ServerChannels, ServerModel

    if isinstance(model, ServerModel):
        return ServerChannels
    if isinstance(model, LlamaModel):
        sequential = system == "duo-sequential"
        return partial(LlamaChannels, sequential=True) if sequential else LlamaChannels
    from duo.decoding.check import check, fault
    from duo.decoding.fused import FusedChannels
    from duo.decoding.sequential import SequentialChannels

    fused = system == "duo" or (system != "duo-sequential" and not fault(model))
    check(model, fused=fused)
    return FusedChannels if fused else SequentialChannels


def in_one_pool(
    kind: Callable[[Any], Channels], model: Any, rows: int, *, graphs: bool = False
) -> Callable[[Any], Channels]:
    """Give channels of this kind one pool of so many rows, if they can share one."""
    from duo.decoding.fused import FusedChannels, make_pool
    from duo.decoding.llama import LlamaChannels, LlamaPool
    from duo.decoding.server import ServerChannels, ServerPool

    if kind is FusedChannels:
        return partial(FusedChannels, pool=make_pool(model, rows, graphs=graphs))
    if kind is LlamaChannels:
        return partial(LlamaChannels, pool=LlamaPool(model, rows))
    if kind is ServerChannels:
        return partial(ServerChannels, pool=ServerPool(model))
    return kind


def _settings(system: str, seed: int, given: Mapping[str, Any]) -> Any:
    """Make the settings of one of our systems, those of its sampling included."""
    from duo.decoding.settings import Sampling

    _, kind = _classes(system)
    known = {field.name for field in fields(kind)} - {"sampling"}
    drawn = {field.name for field in fields(Sampling)} - {"seed"}
    if unknown := sorted(set(given) - known - drawn):
        names = ", ".join(sorted(known | drawn))
        raise BadInput(f"{system} has no setting {unknown[0]!r}; it has {names}")
    sampling = Sampling(seed=seed, **{name: given[name] for name in given if name in drawn})
    return kind(sampling=sampling, **{name: given[name] for name in given if name in known})


def _classes(system: str) -> tuple[Any, Any]:
    """Import the class of one of our systems, and that of its settings."""
    found, settings = (pkgutil.resolve_name(f"duo.decoding.{place}") for place in _PLACES[system])
    return found, settings


def _build_foreign(
    system: str, backbone: Backbone | None, seed: int, settings: Mapping[str, Any]
) -> Conversant:
    factory = _foreign(system)
    try:
        inspect.signature(factory).bind(backbone, seed=seed, **settings)
    except TypeError as error:
        raise BadInput(f"{system} cannot be called so: {error}") from error
    made = factory(backbone, seed=seed, **settings)
    if not isinstance(made, Conversant):
        raise BadInput(f"{system} made no conversant: it needs name, cycle_seconds, reset, cycle")
    return made


def _foreign(system: str) -> Callable[..., Any]:
    place, _, name = system.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: a user's module lies in the present folder
    try:
        factory = getattr(importlib.import_module(place), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"system {system!r} cannot be loaded: {error}") from error
    if not callable(factory):
        raise BadInput(f"system {system!r} is not a function")
    return factory
