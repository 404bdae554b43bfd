"""The bench of engines, on a tiny model in both."""

from __future__ import annotations

from pathlib import Path

from duo.backbone import Backbone, load
from duo.chatformat import chat_format
from duo.tokens import add_state_tokens
from evaluation.decode_bench.bench import Plan
from evaluation.decode_bench.engines import engine_tables, measure_engines
from tests.gguf_twin import needs_llama, write_gguf
from tests.tiny import tiny_model, tiny_tokenizer


@needs_llama
def test_a_model_is_measured_in_both_engines_beside_llama_alone(
    tmp_path: Path, own_cache: Path
) -> None:
    tokenizer = tiny_tokenizer(states=False)
    model = tiny_model(vocabulary=len(tokenizer))
    file = write_gguf(model, tokenizer, tmp_path / "tiny.gguf")
    states = add_state_tokens(model, tokenizer)
    torch_one = Backbone(model, tokenizer, "tiny", states, chat_format(tokenizer))
    llama_one = load(str(file))
    begun: list[str] = []
    found = measure_engines(
        {"llama": llama_one, "torch": torch_one}, Plan(rounds=2, tokens=8), begun.append
    )
    names = ["llama.cpp alone", "llama", "torch"]
    assert list(found.engines) == names
    assert [sorted(begun[n : n + 3]) for n in (0, 3, 6)] == [sorted(names)] * 3
    alone = found.engines["llama.cpp alone"]
    for share in (alone.against_bare, alone.listening_against_bare):
        assert share is not None
        assert share.median == 1
    for name in names:
        one = found.engines[name]
        assert one.listening is not None
        assert min(one.alone.low, one.listening.low, one.prefill.low, one.cache_bytes) > 0
    weights = [found.engines[name].weight_bytes for name in names]
    assert weights[0] == weights[1] < weights[2]  # float32, float32, float64
    (table,) = engine_tables(found)
    assert len(table.rows) == 3
