"""Data folders: whole ones are read alike however they are packed, others named by line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duo.errors import BadInput
from evaluation.benchmarks.catalogue import BENCHMARKS, subset_names
from evaluation.benchmarks.folders import Place, check_row, read_data
from evaluation.benchmarks.sources import SMOKE
from tests.evaluation.benchmarks.small import copy_data, read_rows, write_rows

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
        (b"{", "1: is not JSON"),
        (b"[1]", "1: is not an object"),
        (b"\xff\xfe", "1: is not JSON"),
        (b"[" * 100_000, "1: is not JSON"),
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
    for damaged in (path.read_bytes()[:-9], b"no archive", b"\x1f\x8b" + b"\0" * 40):
        path.write_bytes(damaged)
        with pytest.raises(BadInput, match="cannot read"):
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
