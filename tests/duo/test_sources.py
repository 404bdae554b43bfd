"""Where a model is looked for. The hub itself is played by functions of the test."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from duo.errors import BadInput
from duo.sources import model_folder


class Hub:
    """A hub with one model, or with one way to fail."""

    def __init__(self, folder: Path, files: list[str], failure: Exception | None = None) -> None:
        self.folder, self.files, self.failure = folder, files, failure
        self.cached = False
        self.asked: dict[str, Any] = {}

    def model_info(self, name: str, timeout: float) -> SimpleNamespace:
        assert timeout <= 10
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in self.files])

    def snapshot_download(self, name: str, **how: Any) -> str:
        self.asked = how
        if how.get("local_files_only") and not self.cached:
            raise LocalEntryNotFoundError("not in the cache")
        return str(self.folder)


def failure(kind: type[Exception]) -> Exception:
    """The error without the server's answer that it would carry."""
    return kind.__new__(kind)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path, ["config.json", "model.safetensors", "pytorch_model.bin"])
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def said(name: str) -> str:
    with pytest.raises(BadInput) as caught:
        model_folder(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_model_on_the_hub(hub: Hub) -> None:
    assert model_folder("someone/model-1.5B") == hub.folder
    assert "*.safetensors" in hub.asked["allow_patterns"]
    assert "*.bin" not in hub.asked["allow_patterns"]
    assert not any("py" in pattern for pattern in hub.asked["allow_patterns"])


def test_older_weights_only_where_there_are_no_others(hub: Hub) -> None:
    hub.files.remove("model.safetensors")
    model_folder("model")
    assert "*.bin" in hub.asked["allow_patterns"]


def test_a_folder_comes_before_the_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "someone" / "model").mkdir(parents=True)
    (tmp_path / "someone" / "model" / "config.json").write_text("{}")
    assert model_folder("someone/model") == Path("someone/model")
    assert hub.asked == {}


@pytest.mark.parametrize("kind", [OfflineModeIsEnabled, ConnectionError, TimeoutError])
def test_without_a_network(hub: Hub, kind: type[Exception]) -> None:
    hub.failure = kind("no way through\nand a long story about it")
    assert "the Hugging Face hub does not give it (no way through)" in said("someone/model")
    assert "use smollm2" in said("someone/model")
    hub.cached = True
    assert model_folder("someone/model") == hub.folder


def test_what_the_hub_refuses(hub: Hub) -> None:
    hub.failure = failure(RepositoryNotFoundError)
    assert "neither a folder here nor (for you) on the Hugging Face hub" in said("someone/model")
    hub.failure = failure(GatedRepoError)
    assert "hf auth login" in said("someone/model")
