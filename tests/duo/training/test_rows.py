"""State rows: the regression decides in decoding as on the features, in both engines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from duo.backbone import Backbone, load
from duo.decoding.channels import Channels
from duo.decoding.duo import DuoSettings
from duo.decoding.fused import FusedChannels
from duo.decoding.llama import LlamaChannels
from duo.decoding.reading import LAST, Row, read_states
from duo.decoding.systems import build
from duo.engine import installed
from duo.errors import BadInput
from duo.gguf_model import is_gguf
from duo.state_rows import read_rows, write_rows
from duo.training.encode import Encoder, targets
from duo.training.rows import IGNORE, RESPOND, WAIT, Fitted, RowsSettings, train_rows
from duo.training.settings import make_settings
from evaluation.benchmarks.model import model_hash
from tests.duo.training.material import data_folder, model_folder, sample
from tests.gguf_twin import needs_llama, write_gguf
from tests.tiny import tiny_backbone, tiny_model, tiny_tokenizer

ENGINES = ["torch", pytest.param("llama", marks=needs_llama)]
SETTINGS = {"validation": 5, "max_tokens": 256}


def made(folder: Path, engine: str) -> str:
    """The name of a tiny base model without state tokens."""
    if engine == "torch":
        return str(model_folder(folder / "base"))
    tokenizer = tiny_tokenizer(states=False)
    model = tiny_model("qwen2", len(tokenizer), dtype=torch.float32)
    return str(write_gguf(model, tokenizer, folder / "base.gguf"))


def trained(folder: Path, engine: str, **settings: Any) -> Path:
    name = made(folder, engine)
    data = folder / "data"
    if not data.exists():
        data_folder(data, 80)
    out = folder / "rows"
    train_rows(
        settings=make_settings(RowsSettings, SETTINGS | settings), model=name, data=data, out=out
    )
    return out


@pytest.fixture(scope="module", params=ENGINES)
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUO_CACHE", str(folder / "cache"))
        return trained(folder, request.param)


def texts(backbone: Backbone, count: int = 25) -> list[tuple[int, ...]]:
    """What is heard of dialogues, up to turn ends and to places within turns."""
    encoder = Encoder(backbone.tokenizer, max_tokens=256)
    found = []
    for seed in range(count):
        encoded = encoder.sample(sample(seed))
        places = [place for place, *_ in targets(encoded, backbone.states)]
        found.append(encoded.ids[: places[7 * seed % len(places)] + 1])
    return found


def threshold(made: Any) -> float | None:
    found: float | None = made.settings.decide_at
    return found


def channels_of(backbone: Backbone) -> Channels:
    kind: Any = LlamaChannels if backbone.engine == "llama" else FusedChannels
    return kind(backbone.model)


def heard(backbone: Backbone, ids: tuple[int, ...]) -> torch.Tensor:
    """Scores after what is heard beside an answer."""
    channels = channels_of(backbone)
    channels.extend_prefix(ids[:9])
    channels.fork(ids[9:])
    found = channels.encode().input
    assert found is not None
    return found.float()


@pytest.mark.parametrize("layer", [LAST, 1])
def test_rows_decide_in_decoding_what_the_regression_decides(
    layer: int, rows: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "any"
    facts = read_rows(rows).facts.model_copy(update={"layer": layer})
    base = load(facts.model)
    if layer != LAST and base.engine == "torch":
        write_rows(folder, facts, np.zeros((2, 32)), np.zeros(2))
        with pytest.raises(BadInput, match="--engine llama"):
            load(str(folder), engine="torch")
        assert is_gguf(str(folder))  # so it is taken to llama.cpp unless told otherwise
        return
    ids = texts(base)
    read = read_states(base, [Row(one, (len(one) - 1,)) for one in ids], (layer,))
    hidden = np.concatenate([states[:, 0] for states in read])
    draw = np.random.default_rng(
        0
    )  # rows of any fit, by which each of the three is wanted at times
    head = draw.normal(size=(2, hidden.shape[1])) / hidden.std()
    fitted = Fitted(head.astype(np.float32), -(head @ hidden.mean(0)).astype(np.float32), (), 1, 0)
    write_rows(folder, facts, fitted.head, fitted.bias)
    with_them = load(str(folder))
    kinds = {with_them.states.respond: RESPOND, with_them.states.ignore: IGNORE}
    decided = set()
    for one, odds in zip(ids, fitted.odds(hidden), strict=True):
        scores = np.array([0, *odds])
        scores[1:][abs(scores[1:]) < 0.05] = np.nan  # where rounding may decide
        if not np.isnan(scores).any():
            got = kinds.get(int(heard(with_them, one).argmax()), WAIT)
            assert got == scores.argmax()
            decided.add(got)
    assert decided == {WAIT, RESPOND, IGNORE}


def test_rows_bring_their_threshold_wherever_they_decide(rows: Path) -> None:
    own, base = load(str(rows)), load(read_rows(rows).facts.model)
    assert threshold(build("duo", base)) == DuoSettings.decide_at
    assert threshold(build("duo", own)) == RowsSettings.decide_at
    assert threshold(build("duo", own, decide_at=None)) is None
    # They run on their own engine, whatever the model beside them runs on.
    beside: Any = build("duo", tiny_backbone("llama"), monitor=str(rows))
    assert threshold(beside) == RowsSettings.decide_at
    beside.cycle("What is")
    assert beside.channels.monitor.forward_passes > 0
    assert isinstance(beside.channels.monitor, type(channels_of(own)))


@needs_llama
def test_a_model_in_torch_decides_beside_one_in_llama(tmp_path: Path) -> None:
    speaker = load(made(tmp_path, "llama"))
    monitor = made(tmp_path / "small", "torch")
    beside: Any = build("duo", speaker, monitor=monitor)
    beside.cycle("What is")
    assert isinstance(beside.channels.speaker, LlamaChannels)
    assert isinstance(beside.channels.monitor, FusedChannels)
    assert beside.channels.monitor.forward_passes > 0


def test_no_ordinary_logit_changes(rows: Path) -> None:
    base, with_them = load(read_rows(rows).facts.model), load(str(rows))
    states = {with_them.states.respond, with_them.states.ignore, with_them.states.idle}
    for ids in texts(base, 8):
        plain, more = heard(base, ids), heard(with_them, ids)
        others = [n for n in range(len(plain)) if n not in states]
        # Llama.cpp computes scores in another order where the hidden state is asked for, too.
        close = 1e-3 if base.engine == "llama" else 0
        torch.testing.assert_close(more[others], plain[others], rtol=close, atol=close)
        assert not torch.equal(plain, more)


def test_benchmarks_measure_the_base_model(rows: Path) -> None:
    base = read_rows(rows).facts.model
    backend = "llama" if is_gguf(base) else "hf"
    assert is_gguf(str(rows)) == is_gguf(base)
    assert model_hash(str(rows), backend) == model_hash(base, backend)


def test_a_stopped_run_goes_on_to_the_same_bytes(rows: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(rows, folder)
    kept = sorted((folder / "features" / "train").glob("*.safetensors"))
    assert len(kept) == 2
    before = {path.name: path.read_bytes() for path in kept}
    kept[1].unlink()
    (folder / "rows.safetensors").unlink()
    model = read_rows(rows).facts.model
    settings = make_settings(RowsSettings, SETTINGS)
    train_rows(settings=settings, model=model, data=rows.parent / "data", out=folder)
    assert {path.name: path.read_bytes() for path in kept} == before
    for name in ("rows.safetensors", "rows.json"):
        assert (folder / name).read_bytes() == (rows / name).read_bytes()


def test_another_operating_point_reads_nothing_again(rows: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(rows, folder)
    model, data = read_rows(rows).facts.model, rows.parent / "data"
    kept = (folder / "features" / "train" / "0000000.safetensors").stat().st_mtime_ns
    shares = []
    for answered in (0.5, 0.9):
        settings = make_settings(RowsSettings, SETTINGS | {"answered": answered})
        found = train_rows(settings=settings, model=model, data=data, out=folder)
        assert found.shift == pytest.approx(read_rows(folder).facts.shift)
        shares.append(found.shift)
    assert shares[0] < shares[1]
    now = (folder / "features" / "train" / "0000000.safetensors").stat().st_mtime_ns
    assert now == kept
    other = make_settings(RowsSettings, SETTINGS | {"inside": 1})
    with pytest.raises(BadInput, match="choose another folder"):
        train_rows(settings=other, model=model, data=data, out=folder)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("rows.safetensors", b"rubbish", "rows.safetensors: cannot be read"),
        ("rows.safetensors", None, "rows.safetensors: cannot be read"),
        ("rows.json", b"{", "rows.json"),
        ("rows.json", b'{"kind": "rows"}', "rows.json: model"),
    ],
)
def test_damaged_rows_are_one_clear_error(
    file: str, content: bytes | None, said: str, rows: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(rows, folder, ignore=shutil.ignore_patterns("features"))
    (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
    with pytest.raises(BadInput, match=said):
        load(str(folder))


def test_rows_of_rows_are_refused(rows: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(rows, folder, ignore=shutil.ignore_patterns("features"))
    facts = json.loads((folder / "rows.json").read_text("utf-8"))
    (folder / "rows.json").write_text(json.dumps(facts | {"model": str(folder)}), "utf-8")
    with pytest.raises(BadInput, match="names rows"):
        load(str(folder))


def test_rows_of_other_weights_are_refused(rows: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(rows, folder, ignore=shutil.ignore_patterns("features"))
    facts = json.loads((folder / "rows.json").read_text("utf-8"))
    facts["sha256"] = "0" * 64
    (folder / "rows.json").write_text(json.dumps(facts), "utf-8")
    with pytest.raises(BadInput, match="trained on other weights"):
        load(str(folder))


@needs_llama
@pytest.mark.parametrize("layer", [2, 3])  # of three blocks: the last one's is the last state
def test_a_block_that_is_not_below_the_last_is_refused(
    layer: int, tmp_path: Path, own_cache: Path
) -> None:
    with pytest.raises(BadInput, match=r"^layer: .* not between 0 and 1"):
        trained(tmp_path, "llama", layer=layer)
    out = trained(tmp_path, "llama", samples=10)
    facts = read_rows(out).facts.model_copy(update={"layer": layer})
    write_rows(out, facts, np.zeros((2, 32)), np.zeros(2))
    with pytest.raises(BadInput, match=r"rows.json: layer: .* not between 0 and 1"):
        load(str(out))


@needs_llama
def test_both_engines_read_the_same_states(tmp_path: Path, own_cache: Path) -> None:
    assert installed()
    tokenizer = tiny_tokenizer(states=False)
    model = tiny_model("llama", len(tokenizer), dtype=torch.float32)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    file = write_gguf(model, tokenizer, tmp_path / "base.gguf")
    one, other = load(str(tmp_path / "base")), load(str(file))
    other.model.cache = "f32"
    draw = np.random.default_rng(1)
    # The last ones are longer, and have more places, than llama.cpp computes at once.
    made = [tuple(draw.integers(0, 400, length).tolist()) for length in (3, 9, 40, 2200, 1)]
    rows = [Row(made[0], (2,)), Row((*made[0], *made[1]), (0, 5, 11)), Row(made[2], (1, 39)),
            Row(made[3], (2199,)), Row(made[4], (0,)),
            Row(made[3], tuple(range(0, 2200, 5)))]  # fmt: skip
    layers = (0, 1, LAST)
    for found, wanted in zip(read_states(other, rows, layers), read_states(one, rows, layers),
                             strict=True):  # fmt: skip
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)
