"""Find, fetch and open models of GGUF files, which llama.cpp runs.

    backbone = load("qwen", engine="llama")

What a file says of its tokenizer is read by `transformers`, once: the result is kept in the cache
folder. It must encode what llama.cpp's own tokenizer makes of the same texts, or the model is
refused.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from duo.backbone import Backbone, open_tokenizer
from duo.chatformat import chat_format
from duo.chattemplate import DATE, TEXTS
from duo.engine import library
from duo.errors import BadInput, first_line
from duo.files import read_json_object, write_json
from duo.gguf_adapter import converted
from duo.gguf_file import Matrix, find_matrix, set_pre_tokenizer
from duo.model_folder import ADAPTER, adapter_base, agreed_style, own_style
from duo.state_rows import base_of_rows, read_rows, rows_folder
from duo.terminal import quiet, say
from duo.tokens import STATE_TOKENS, add_special, encode, state_tokens
from duo.wheels import (
    ADAPTERS,
    ALIAS,
    QWEN,
    adapter_folder,
    cache_folder,
    convert,
    hub_file,
    made_once,
    qwen_file,
    saying,
    smollm2_gguf,
)  # fmt: skip

_ENDING = ".gguf"
#: A model file on the hub: `user/repo:file.gguf`, or the name of a quantisation after the colon.
_ON_HUB = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w.-]+):(?P<file>[\w./-]+)")

#: Part of the cache's names: goes up whenever what is kept of a file changes.
_VERSION = 2


def is_file(name: str) -> bool:
    """Tell whether a model is a GGUF file, here or on the hub."""
    return name == QWEN or name.endswith(_ENDING) or bool(_ON_HUB.fullmatch(name))


def is_gguf(name: str) -> bool:
    """Tell whether a model runs in llama.cpp unless it is said otherwise.

    That is a GGUF file, an adapter or rows of one, or rows on a middle layer, which run nowhere
    else.
    """
    if (folder := rows_folder(name)) is not None:
        facts = read_rows(folder).facts
        return facts.layer != -1 or is_gguf(facts.model)
    return is_file(_taken_apart(name)[0])


def has_gguf(name: str) -> bool:
    """Tell whether a model can run in llama.cpp: whether `find` knows a file for it."""
    base, _ = _taken_apart(base_of_rows(name))
    return base == ALIAS or is_file(base)


@dataclass(frozen=True)
class Source:
    """Files of a model.

    Attributes:
        adapter: folder of a PEFT adapter of it, if one is asked for.
    """

    file: Path
    adapter: Path | None = None


def find(name: str) -> Source:
    """Find a model's GGUF file; fetch it if it is not here.

    Args:
        name: the alias `qwen`, `smollm2` or one of its adapters', a file, `user/repo:file.gguf` on
            the Hugging Face hub, or the folder of a PEFT adapter or of state rows whose base model
            is one of these.

    Raises:
        BadInput: there is none, or it cannot be fetched.
    """
    base, adapter = _taken_apart(base_of_rows(name))
    if base == QWEN:
        return Source(qwen_file(), adapter)
    if base == ALIAS:
        return Source(smollm2_gguf(), adapter)
    path = Path(base).expanduser()
    if path.is_file() and path.suffix == _ENDING:
        return Source(path, adapter)
    if adapter is not None and not is_file(base):
        raise BadInput(
            f"its base model {base} is no GGUF file: use --engine torch",
            file=adapter / ADAPTER,
            field="base_model_name_or_path",
        )
    if path.exists():
        advice = ": use --engine torch" if path.is_dir() else ""
        raise BadInput(f"is no {_ENDING} file, which llama.cpp runs{advice}", file=path)
    if found := _ON_HUB.fullmatch(base):
        return Source(hub_file(found["repo"], found["file"]), adapter)
    raise BadInput(
        f"no such {_ENDING} file: name one, user/repo:file{_ENDING} on the hub, {QWEN} or {ALIAS}",
        file=base,
    )


def _taken_apart(name: str) -> tuple[str, Path | None]:
    """Name the model under an adapter, and the adapter's folder; any other one itself, and None."""
    if name == ALIAS or is_file(name):
        return name, None
    folder = adapter_folder(name) if name in ADAPTERS else Path(name).expanduser()
    base = adapter_base(folder)
    return (name, None) if base is None else (base, folder)


def torch_folder(name: str) -> Path:
    """Find the weights of a GGUF file as a model folder for torch; made the first time, in minutes.

    They are stored in float16, which loses less than a thousandth of a weight.

    Raises:
        BadInput: no such file, or one that `transformers` cannot read.
    """
    file = find(name).file

    def make(folder: Path) -> None:
        try:
            with saying(f"converting {file.name} for torch (once, some minutes)"):
                convert(file, folder, own_tokenizer(file), "float16")
        except (BadInput, OSError):
            raise
        except Exception as error:  # an architecture that `transformers` does not read
            said = f"cannot convert this model for torch: {first_line(error)}"
            raise BadInput(said, file=file) from error

    return made_once(_kept(file).parent / "torch", make)


def load(
    name: str, *, chat: str | None = None, system: str | None = None, date: str = DATE
) -> Backbone:
    """Load a GGUF model with its tokenizer, state tokens and chat format.

    Raises:
        BadInput: no such model, a damaged one, an adapter that llama.cpp cannot have, or a chat
            format that the model was not trained in.
    """
    from duo.decoding.llama_model import LlamaModel, Rows

    library()  # if it is not there, that is said before anything is fetched
    source = find(name)
    kept = _kept(source.file)
    tokenizer = open_tokenizer(kept / "tokenizer")
    known = len(tokenizer)
    add_special(tokenizer, STATE_TOKENS)  # numbered after all others if they are new
    states = state_tokens(tokenizer)
    rows, adapter = Rows(len(tokenizer) - known), None
    facts = read_json_object(kept / _FACTS)
    if source.adapter is not None:
        adapter, rows = converted(source.adapter, source.file, facts, rows)
        # Its base model, a GGUF file, says nothing of a form.
        chat = agreed_style(own_style(source.adapter), chat, source.adapter)
    with quiet():
        form = chat_format(tokenizer, chat or "template", system, date)
    model = LlamaModel(source.file, adapter=adapter, rows=rows)
    say(f"llama.cpp computes {source.file.name} with {model.pace}")
    model.embeddings = Matrix(source.file, **facts["embeddings"])
    model.mean_embedding = np.array(facts["mean_embedding"], np.float32)
    if rows.count:
        _ = model.embedding_scale  # a model that cannot have them is refused now
    if model.vocabulary != known:
        raise BadInput(
            f"its tokenizer has {known} tokens and its model {model.vocabulary}", file=source.file
        )
    _check_tokenizer(tokenizer, model, source.file)
    form = replace(form, stop=form.stop | model.ends)
    return Backbone(
        model=model, tokenizer=tokenizer, name=name, states=states, chat=form, engine="llama"
    )


def own_tokenizer(file: Path) -> Any:
    """Open the tokenizer of a file as it is, without state tokens."""
    return open_tokenizer(_kept(file) / "tokenizer")


# -- what is kept of a file ----------------------------------------------------------------------

_FACTS = "facts.json"
#: What is kept of a `Matrix`.
_SHAPE = ("offset", "kind", "rows", "width")


def _kept(file: Path) -> Path:
    """Find the folder with a file's tokenizer and facts; made the first time, in some seconds."""
    about = file.resolve().stat()
    key = f"{file.resolve()}:{about.st_size}:{about.st_mtime_ns}:{_VERSION}"
    home = cache_folder() / "gguf" / hashlib.sha256(key.encode()).hexdigest()[:16]
    return made_once(home / "kept", partial(_read, file))


def _read(file: Path, folder: Path) -> None:
    """Read tokenizer and facts of a file with the libraries, which takes some seconds."""
    from gguf import GGUFReader
    from rich.console import Console

    from duo.decoding.llama_model import EMBEDDINGS

    (folder / "tokenizer").mkdir(parents=True)
    status = Console(stderr=True).status(f"reading the tokenizer of {file.name} (once)")
    try:
        with status:
            reader = GGUFReader(file)
            kind = _fact(reader, "general.architecture")
            embeddings = find_matrix(reader, file, EMBEDDINGS)
            facts = {
                "architecture": kind,
                "heads": _fact(reader, f"{kind}.attention.head_count"),
                "kv_heads": _fact(reader, f"{kind}.attention.head_count_kv"),
                "embeddings": {k: v for k, v in vars(embeddings).items() if k in _SHAPE},
                "mean_embedding": embeddings.mean().tolist(),
            }
            pre = _fact(reader, "tokenizer.ggml.pre")
            _tokenizer(file, str(pre)).save_pretrained(folder / "tokenizer")
    except BadInput:
        raise
    except Exception as error:  # whatever a damaged or foreign file makes the libraries raise
        raise BadInput(f"cannot read this model: {first_line(error)}", file=file) from error
    write_json(folder / _FACTS, facts)


def _fact(reader: Any, name: str) -> Any:
    field = reader.get_field(name)
    return None if field is None else field.contents()


def _tokenizer(file: Path, pre: str) -> Any:
    """Make the tokenizer, with what `transformers` does not read of its pre-tokenizer."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    set_pre_tokenizer(tokenizer, pre)
    # Of no architecture's own class, which would make the rest anew when it is opened.
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        chat_template=tokenizer.chat_template,
        clean_up_tokenization_spaces=False,
        **{name: str(token) for name, token in tokenizer.special_tokens_map.items()},
    )


def _check_tokenizer(tokenizer: Any, model: Any, file: Path) -> None:
    """Refuse a tokenizer that encodes otherwise than llama.cpp's own.

    Raises:
        BadInput: they differ.
    """
    for text in (*TEXTS, *_MORE_TEXTS):
        if encode(tokenizer, text) != model.encode(text):
            raise BadInput(
                f"transformers does not read its tokenizer rightly (it differs at {text!r}): use "
                "the model's folder and --engine torch",
                file=file,
            )


_MORE_TEXTS = (
    "What is the capital of France?",
    " I'm afraid it costs 1234.50 euros,\n\n  and they'd WAIT until 2026.",
    "你好,请问今天天气怎么样?",
)
