"""Tiny random models and tokenizers, from fixed seeds and without network.

What the decoder and the chat format promise, they promise for any model; so tests run on random
ones of several architectures, small enough for hundreds of cases, in float64 so that equal means
equal.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GraniteConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from duo.backbone import Backbone
from duo.chatformat import chat_format
from duo.tokens import CONTROL_TOKENS, STATE_TOKENS, state_tokens

#: Text that the tokenizers learn their merges from: ours, with what speech and chat contain.
_TEXT = """
What is the capital of France? The capital of France is Paris, a city of two million people.
Could you tell me how the weather will be tomorrow? It will rain in the morning, I am afraid.
Yes, that is right. No, that is not what I meant. Go on, please. Stop, be quiet for a moment.
I think that we should take the train at 7:45; it is 120 kilometres, and it costs 35 euros.
user assistant system: You are a helpful assistant. Hello, how are you? Thank you, I'm fine!
The quick answer is that nobody knows. The long answer takes the rest of the evening.
First, heat the oven. Second, mix the flour, the sugar and three eggs. Third, wait for an hour.
"Where were you?" she asked. (He did not know.) That's the thing: they'd been waiting since 1999.
你好,请问今天天气怎么样?今天天气很好。谢谢你。我们明天再谈吧,好的。
""".strip().splitlines()

#: Chat templates in the families' forms, written for these tests.
TEMPLATES: dict[str, str] = {
    # A default system prompt, turns that end in a line break.
    "chatml": (
        "{% for m in messages %}"
        "{% if loop.first and m.role != 'system' %}"
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    # Trims what is said; no default system prompt.
    "trimming": (
        "{% for m in messages %}"
        "<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    # Joins turns by line breaks, so that the last has none.
    "joined": (
        "{{ bos_token }}{% for m in messages %}"
        "{% if not loop.first %}{{ '\\n' }}{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '\\n' }}<|im_start|>assistant\n{% endif %}"
    ),
    # Only answers are joined to what follows.
    "answers": (
        "{{ bos_token }}{% for m in messages %}"
        "{% if m.role == 'assistant' %}<|im_start|>assistant\n{{ m.content }}{{ eos_token }}"
        "{% if not loop.last %}{{ '\\n' }}{% endif %}"
        "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}\n{% endif %}"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    # The end of all text after the last turn, whoever has it.
    "over": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% else %}{{ eos_token }}{% endif %}"
    ),
    # No header of its own for answers; demands alternation; system prompt inside the first turn.
    "inst": (
        "{% set ns = namespace(system='') %}"
        "{% for m in messages %}"
        "{% if m.role == 'system' %}"
        "{% set ns.system = '<<SYS>>\n' + m.content + '\n<</SYS>>\n\n' %}"
        "{% elif m.role == 'user' %}"
        "{{ bos_token }}[INST] {{ ns.system }}{{ m.content | trim }} [/INST]"
        "{% set ns.system = '' %}"
        "{% else %}"
        "{% if loop.first %}{{ raise_exception('roles must alternate, user first') }}{% endif %}"
        " {{ m.content | trim }} {{ eos_token }}"
        "{% endif %}"
        "{% endfor %}"
    ),
    # BOS in the template, another name for the assistant, system prompts refused.
    "turns": (
        "{{ bos_token }}{% for m in messages %}"
        "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
        "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content | trim }}<end_of_turn>\n"
        "{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    ),
    # A role header that ends in a special token: the text follows it directly.
    "role": (
        "{% for m in messages %}"
        "<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}<|im_end|>\n"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"
    ),
    # Plain words for headers, no special tokens but the end of an answer.
    "words": (
        "{% for m in messages %}"
        "{% if m.role == 'system' %}{{ m.content }}\n"
        "{% elif m.role == 'user' %}USER: {{ m.content }}\n"
        "{% else %}ASSISTANT: {{ m.content }}{{ eos_token }}\n{% endif %}"
        "{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    ),
    # An answer ends where the next turn begins, by that turn's mark (as in GLM-4).
    "marks": (
        "<s>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
    # The last answer ends with a token of its own; channels; a preamble with the date (gpt-oss).
    "return": (
        "<|start|>system<|message|>Today is {{ strftime_now('%Y-%m-%d') }}.<|end|>"
        "{% for m in messages %}"
        "{% if m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>"
        "{{ m.content }}{{ '<|return|>' if loop.last else '<|end|>' }}"
        "{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    ),
    # Today's date in the system turn, unless it is given (as in Llama 3.2).
    "dated": (
        "{% if date_string is not defined %}"
        "{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "{{ bos_token }}<|start_of_role|>system<|end_of_role|>Today Date: {{ date_string }}\n"
        "{% if messages[0].role == 'system' %}{{ messages[0].content | trim }}{% endif %}<|im_end|>"
        "{% for m in messages %}{% if m.role != 'system' %}"
        "<|start_of_role|>{{ m.role }}<|end_of_role|>\n\n{{ m.content | trim }}<|im_end|>"
        "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>\n\n{% endif %}"
    ),
    # An empty thinking block before the last answer only.
    "thinking": (
        "{% for m in messages %}"
        "<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
        "{{ m.content }}<|im_end|>\n"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is defined and enable_thinking is false %}"
        "<think>\n\n</think>\n\n{% endif %}{% endif %}"
    ),
}

_SPECIAL = (
    "<|endoftext|>", "<s>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>",
    "<|start_of_role|>", "<|end_of_role|>",
)  # fmt: skip

#: Special tokens of single templates, beside those of all.
_OWN_SPECIAL = {
    "marks": ("<|user|>", "<|assistant|>", "<|system|>"),
    "return": ("<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>"),
}

KINDS = ("bytes", "metaspace")


@lru_cache
def _trained(kind: str) -> str:
    """A trained tokenizer, serialised.

    `bytes` is byte-level BPE as in GPT-2 and most later models; `metaspace` is BPE on characters
    with blanks as `▁` and a byte fall-back, as in Llama 2 and Gemma (sentencepiece).
    """
    if kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        special, alphabet = [*_SPECIAL], pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        tokenizer.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
        special = ["<unk>", *_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
        alphabet = []
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + len(alphabet) + (220 if kind == "bytes" else 320),
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    text = _TEXT if kind == "bytes" else [word for line in _TEXT for word in _pieces(line)]
    tokenizer.train_from_iterator(text, trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [  # bytes are ordinary tokens; only the trainer took them as special
        token for token in content["added_tokens"] if not token["content"].startswith("<0x")
    ]
    return json.dumps(content)


def _pieces(line: str) -> list[str]:
    """Words as a sentencepiece trainer sees them: none goes over a blank."""
    return line.split(" ")


def tiny_tokenizer(
    template: str | None = "chatml", kind: str = "bytes", states: bool = True
) -> PreTrainedTokenizerFast:
    """A fresh tokenizer of a few hundred tokens.

    Args:
        template: a name in `TEMPLATES`, or None for no chat template.
        kind: "bytes" or "metaspace".
        states: whether it has the state tokens.
    """
    end = {
        "chatml": "<|im_end|>", "trimming": "<|im_end|>", "thinking": "<|im_end|>",
        "return": "<|return|>",
    }  # fmt: skip
    own = [
        AddedToken(token, special=True, normalized=False)
        for token in _OWN_SPECIAL.get(template or "", ())
    ]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(kind)),
        bos_token="<s>",
        eos_token=end.get(template or "", "<|endoftext|>"),
        clean_up_tokenization_spaces=False,
        **({"unk_token": "<unk>"} if kind == "metaspace" else {}),
    )
    if own:
        tokenizer.add_tokens(own, special_tokens=True)
    if template is not None:
        tokenizer.chat_template = TEMPLATES[template]
    if states:
        tokenizer.add_tokens(
            [AddedToken(token, special=True, normalized=False) for token in STATE_TOKENS],
            special_tokens=True,
        )
    return tokenizer


#: Settings that all tiny models share: enough spread in the weights that greedy answers vary.
_SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.4,
    "rms_norm_eps": 1e-6,
}

#: Layers see a window of this many tokens where the architecture has sliding windows: shorter than
#: most dialogues of the tests.
WINDOW = 16

_CONFIGS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {"tie_word_embeddings": True}),
    "qwen2": (Qwen2Config, {"tie_word_embeddings": False}),
    "qwen3": (Qwen3Config, {"head_dim": 16, "tie_word_embeddings": True}),
    "gemma2": (
        Gemma2Config,
        {
            "head_dim": 8,
            "sliding_window": WINDOW,
            "query_pre_attn_scalar": 8,
            "tie_word_embeddings": False,
        },
    ),
    "gemma3": (
        Gemma3TextConfig,
        {
            "head_dim": 16,
            "sliding_window": WINDOW,
            "query_pre_attn_scalar": 16,
            "tie_word_embeddings": False,  # tied and scaled, random ones only repeat the last token
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "granite": (
        GraniteConfig,
        {
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.7,
            "attention_multiplier": 0.3,
            "logits_scaling": 2.0,
            "tie_word_embeddings": False,
        },
    ),
}

ARCHITECTURES = tuple(_CONFIGS)


def tiny_model(
    architecture: str = "llama",
    vocabulary: int = 500,
    *,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    max_tokens: int = 2048,
    attention: str | None = None,
    **config: Any,
) -> Any:
    """A fresh random model; the same arguments give the same weights."""
    kind, settings = _CONFIGS[architecture]
    if architecture == "gemma2":  # `transformers` before 5.21 takes SDPA, without the soft caps
        attention = attention or "eager"
    built = kind(
        **{
            **_SHAPE,
            **settings,
            "vocab_size": vocabulary,
            "max_position_embeddings": max_tokens,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
            **config,
        }
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(built, dtype=dtype, attn_implementation=attention)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "norm" in name:  # all ones (or zeros) at first: a wrong norm would not show
                    weight.add_(0.1 * torch.randn_like(weight))
    return model.eval()


def tiny_backbone(
    architecture: str = "llama",
    *,
    dtype: torch.dtype = torch.float64,
    template: str | None = "chatml",
    kind: str = "bytes",
    seed: int = 0,
    max_tokens: int = 2048,
    attention: str | None = None,
    system: str | None = None,
    **config: Any,
) -> Backbone:
    """A fresh tiny model with its tokenizer, state tokens and chat format.

    Args:
        architecture: one of `ARCHITECTURES`.
        dtype: of the weights.
        template: chat template, a name in `TEMPLATES`, or None for the plain chat format.
        kind: of tokenizer, one of `KINDS`.
        seed: of the weights.
        max_tokens: context length.
        attention: implementation in `transformers`; None for SDPA where the architecture has it.
        system: system prompt.
        config: further settings of the model's configuration.
    """
    tokenizer = tiny_tokenizer(template, kind)
    model = tiny_model(
        architecture,
        len(tokenizer),
        dtype=dtype,
        seed=seed,
        max_tokens=max_tokens,
        attention=attention,
        **config,
    )
    return Backbone(
        model=model,
        tokenizer=tokenizer,
        name=f"tiny-{architecture}",
        states=state_tokens(tokenizer),
        chat=chat_format(tokenizer, system=system),
    )


def with_control(backbone: Backbone, name: str, seed: int = 5) -> Backbone:
    """Give the control tokens that a system names, if any, random rows, so that some are chosen."""
    if names := CONTROL_TOKENS.get(name):
        ids = list(backbone.control(names))
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for matrix in (
                backbone.model.get_input_embeddings(), backbone.model.get_output_embeddings()
            ):  # fmt: skip
                rows = torch.randn(len(ids), matrix.weight.shape[1], generator=draw)
                matrix.weight[ids] = 0.4 * rows.to(matrix.weight)
    return backbone
