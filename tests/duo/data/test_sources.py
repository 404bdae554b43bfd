"""Sources: every form, in constant memory, and one clear line for what is wrong."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from duo.data import sources
from duo.data.sources import find_sources
from duo.errors import BadInput
from tests.duo.data.dialogues import record, records, write_lines


def ids(*names: str) -> list[str]:
    return [talk.id for source in find_sources(names) for talk in source.dialogues()]


def test_all_file_forms_give_the_same(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    talks = records(7)
    plain = write_lines(tmp_path / "a.jsonl", talks)
    packed = write_lines(tmp_path / "b.jsonl.gz", talks)
    others = [write_lines(tmp_path / name, talks) for name in ("d.ndjson", "e.JSONL")]
    parquet.write_table(pa.Table.from_pylist(talks), tmp_path / "c.parquet")
    expected = [talk["id"] for talk in talks]
    for path in (plain, packed, *others, tmp_path / "c.parquet"):
        [source] = find_sources([str(path)])
        assert source.name == path.name[0]
        assert [talk.id for talk in source.dialogues()] == expected
        assert [talk.id for talk in source.dialogues()] == expected  # as often as wanted
        assert len(source.facts["sha256"]) == 64


def test_only_the_first_records(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [*records(3), "{"])
    [source] = find_sources([str(path)], first=3)
    assert len(list(source.dialogues())) == 3
    assert source.facts["first"] == 3


def test_a_folder_gives_its_dialogues_but_no_utterances(tmp_path: Path) -> None:
    write_lines(tmp_path / "one.jsonl", [record(1)])
    write_lines(tmp_path / "two.jsonl.gz", [record(2)])
    write_lines(tmp_path / "utterances_dev.jsonl", [{"text": "not a dialogue"}])
    (tmp_path / "SOURCES.md").write_text("nothing to read")
    assert ids(str(tmp_path)) == [record(1)["id"], record(2)["id"]]


def test_the_wheel_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUO_SHARED", "/nowhere")  # a variable of tests, which changes nothing
    assert [source.name for source in find_sources(())] == ["sharegpt"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "a.jsonl:2: not JSON: Expecting property name enclosed in double quotes"),
        ("[" * 100_000, "a.jsonl:2: not JSON: nested too deeply"),
        ('{"id": ' + "9" * 5000 + "}", "a.jsonl:2: not JSON: Exceeds the limit (4300 digits) "),
        ('{"messages": 3}', "a.jsonl:2: messages: must be a list"),
        ('{"text": "x"}', "a.jsonl:2: has none of the fields messages, "),
    ],
)
def test_a_bad_line_names_file_line_and_field(tmp_path: Path, line: str, message: str) -> None:
    path = write_lines(tmp_path / "a.jsonl", [record(1), line, record(2)])
    [source] = find_sources([str(path)])
    with pytest.raises(BadInput) as error:
        list(source.dialogues())
    assert str(error.value).startswith(f"{tmp_path}/{message}".rstrip())
    bad: list[BadInput] = []
    assert len(list(source.dialogues(bad.append))) == 2
    assert [str(found) for found in bad] == [str(error.value)]


def test_bytes_that_are_no_text_are_a_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"messages": "\xff"}\n' + json.dumps(record(1)).encode() + b"\n")
    [source] = find_sources([str(path)])
    with pytest.raises(BadInput, match=r"a\.jsonl:1: is not UTF-8 text"):
        list(source.dialogues())


def test_a_file_that_breaks_off_is_reported_after_what_is_whole(tmp_path: Path) -> None:
    whole = gzip.compress("".join(json.dumps(talk) + "\n" for talk in records(500)).encode())
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    [source] = find_sources([str(path)])
    bad: list[BadInput] = []
    found = list(source.dialogues(bad.append))
    assert 0 < len(found) < 500
    assert str(bad[-1]) == f"{path}: cannot be read: is damaged"
    path.write_bytes(whole[:400] + bytes(200) + whole[600:])
    with pytest.raises(BadInput, match=r"a\.jsonl\.gz:"):
        list(source.dialogues())


def test_damaged_parquet_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 no")
    [source] = find_sources([str(path)])
    with pytest.raises(BadInput, match=r"a\.parquet: is not Parquet"):
        list(source.dialogues())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.jsonl", "no such file, folder or data set"),
        ("a/b/missing.jsonl", "no such file, folder or data set"),
        ("notes.txt", "unknown form"),
        ("empty", "no file ends in"),
    ],
)
def test_names_without_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("x")
    Path("empty").mkdir()
    with pytest.raises(BadInput, match=message):
        find_sources([name])


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_lines(tmp_path / folder / "x.jsonl", [record(1)])
    with pytest.raises(BadInput, match="two sources are called x"):
        find_sources([str(tmp_path / "a"), str(tmp_path / "b")])


def test_the_hub_fails_in_one_line_offline() -> None:
    [source] = find_sources(["someone/something:default:train"])
    with pytest.raises(BadInput, match="the Hugging Face hub does not give it") as error:
        list(source.dialogues())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("is_list", [False, True])
def test_large_files_are_streamed(tmp_path: Path, is_list: bool) -> None:
    """Slices as in Duplex-UltraChat: twenty times the file, the same memory."""

    def peak(count: int) -> int:
        path = tmp_path / f"uninterrupted_{count}.jsonl"
        slices = [
            {"role": ("user", "assistant")[place % 2], "content": "some words of a slice"}
            for place in range(200)
        ]
        with path.open("w") as lines:
            for number in range(count):
                start, end = (",["[number == 0], "") if is_list else ("", "\n")
                lines.write(start + json.dumps({"output": slices}) + end)
            lines.write("]" if is_list else "")
        [source] = find_sources([str(path)])
        tracemalloc.start()
        assert sum(1 for _ in source.dialogues()) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5)  # what is made once
    small, large = peak(20), peak(400)
    assert large < 1.5 * small + 100_000


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_is_read_to_where_it_breaks_off(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "a.json"
    text = json.dumps(records(9), indent=indent)
    path.write_text(text, encoding="utf-8-sig")
    assert ids(str(path)) == [talk["id"] for talk in records(9)]
    path.write_text(text[: text.index(records(9)[6]["id"])])
    bad: list[BadInput] = []
    [source] = find_sources([str(path)])
    assert len(list(source.dialogues(bad.append))) == 6
    assert "the list breaks off" in str(*bad)


def test_records_of_a_list_without_ids_get_names_of_their_own(tmp_path: Path) -> None:
    talks = [{**talk, "id": None} for talk in records(3)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(talks))
    assert ids(str(path)) == ["a-1", "a-1.2", "a-1.3"]
    path.write_text(json.dumps([*talks, {"messages": [{"from": "human", "value": 1}]}]))
    with pytest.raises(BadInput, match=r"a\.json:1: messages\[0\]\.value: .*record 4 of the line"):
        ids(str(path))


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
@pytest.mark.parametrize("count", [1, 3])
def test_objects_over_several_lines_are_read(tmp_path: Path, name: str, count: int) -> None:
    text = "\n".join(json.dumps(talk, indent=2) for talk in records(count))
    path = write_lines(tmp_path / name, [f"\ufeff{text}"])
    assert ids(str(path)) == [talk["id"] for talk in records(count)]
    write_lines(path, [text[:-9]])
    bad: list[BadInput] = []
    [source] = find_sources([str(path)])
    assert len(list(source.dialogues(bad.append))) == count - 1
    assert "the object breaks off" in str(*bad)


def test_a_bad_first_line_costs_no_other_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.json", ['{"id": "x', *records(2)])
    bad: list[BadInput] = []
    [source] = find_sources([str(path)])
    assert len(list(source.dialogues(bad.append))) == 2
    assert [found.line for found in bad] == [1]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where the hub's client looks for owner/name, which is all it can reach."""
    import datasets
    import huggingface_hub

    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return folder


@pytest.mark.parametrize(
    ("first", "numbers"),
    [(None, range(30)), (8, (0, 1, 10, 11, 12, 20, 21, 22)), (2, (0, 10))],
)
def test_all_files_of_a_data_set_on_the_hub_are_read(
    hub: Path, first: int | None, numbers: range | tuple[int, ...]
) -> None:
    """As with Duplex-UltraChat's eight files, whose records need not have the same other keys."""
    talks = [record(number) for number in range(30)]
    for file in range(3):
        part = [{**talk, f"key{file}": file} for talk in talks[10 * file : 10 * file + 10]]
        write_lines(hub / f"type{file}.jsonl", part)
    [source] = find_sources(["owner/name:default"], first=first)
    found = [talk.id for talk in source.dialogues()]
    assert found == [talks[number]["id"] for number in numbers]
    assert [talk.id for talk in source.dialogues()] == found


def test_a_data_set_on_the_hub_of_several_parts_names_them(hub: Path) -> None:
    for part in "ab":
        (hub / part).mkdir()
        for file in range(2):
            talk = {**record(1), "id": f"{part}{file}"}
            write_lines(hub / part / f"{file}.jsonl", [talk])
    parts = "".join(f"- config_name: {part}\n  data_files: {part}/*.jsonl\n" for part in "ab")
    (hub / "README.md").write_text(f"---\nconfigs:\n{parts}---\n")
    assert ids("owner/name:a", "owner/name:b") == ["a0", "a1", "b0", "b1"]
    with pytest.raises(BadInput, match=r"Config name is missing.*\['a', 'b'\]") as error:
        ids("owner/name:")
    assert "\n" not in str(error.value)


def test_the_wheel_is_filtered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def conversation(name: str, *texts: str) -> dict[str, object]:
        sides = ("human", "gpt")
        said = [{"from": sides[place % 2], "value": text} for place, text in enumerate(texts)]
        return {"id": name, "conversations": said}

    asked, told = "What is the name of the river in this town?", "It is the one that you see."
    good = [conversation(f"good_{piece}", asked, told, asked, told) for piece in range(8)]
    bad = [
        conversation("short_0", asked, told),
        conversation("code_0", asked, "```python\nprint(1)\n```", asked, told),
        conversation("mail_0", asked, told, "My address is somebody@example.com", told),
        conversation("phone_0", asked, told, "Call me at +49 170 123 45 67", told),
        conversation("key_0", asked, told, "It is sk-abcdefghijklmnop123", told),
        conversation("table_0", asked, "| a | b |\n|---|---|\n| 1 | 2 |", asked, told),
        conversation("german_0", "Wie heißt der Fluss?", "Das weiß ich nicht.", "Warum?", "Tja."),
        conversation("long_0", "word " * 251, told, asked, told),
        {
            "id": "twice_0",
            "conversations": [{"from": "human", "value": asked}] * 3
            + [{"from": "gpt", "value": told}],
        },
    ]
    path = tmp_path / "packaged.json"
    path.write_text(json.dumps([*bad, *good], indent=2)[:-40])
    monkeypatch.setattr(sources, "wheel_file", lambda **_: path)
    kept = [talk.id for talk in find_sources(["sharegpt"])[0].dialogues()]
    assert kept == [f"sharegpt-good_{piece}" for piece in range(6)]  # at most 6 pieces of one
