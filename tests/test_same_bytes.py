"""The same commands write the same bytes, but for manifests, whatever the order of sets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from duo.runs import MANIFEST
from tests.duo.training.material import data_folder, model_folder
from tests.reports.page.runs import write_ratings, write_talks

COMMANDS = """\
train --preset smoke --data data --model model --set steps=2 --set lora_targets=mlp --out OUT/train
eval states model data/validation.jsonl --out OUT/states.json
eval interaction talks --out OUT/interaction.json
report statistics ratings.csv --out OUT/statistics
"""
#: Runs every line of standard input as a command, in one process: most of the time goes to imports.
RUN = """
import sys
import duo.cli
for line in sys.stdin:
    sys.argv = ["duo", *line.split()]
    try:
        duo.cli.main()
    except SystemExit as end:
        assert not end.code, (line, end.code)
"""


def test_the_same_commands_write_the_same_bytes(tmp_path: Path) -> None:
    write_talks(tmp_path / "talks")
    data_folder(tmp_path / "data", 6)
    model_folder(tmp_path / "model")
    write_ratings(tmp_path / "ratings.csv", dialogues=4, raters=3, criteria=("overall",))
    written = []
    for number in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", RUN],
            input=COMMANDS.replace("OUT", number),
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": number, "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        shutil.rmtree(tmp_path / number / "train/checkpoints")  # kept to go on with a stopped run
        shutil.rmtree(tmp_path / number / "train/logs")  # TensorBoard's, with times
        found = (path for path in sorted((tmp_path / number).rglob("*")) if path.is_file())
        written.append(
            {
                str(path.relative_to(tmp_path / number)): path.read_bytes()
                for path in found
                if path.name != MANIFEST
            }
        )
    one, two = written
    assert one.keys() == two.keys()
    assert [path for path in one if one[path] != two[path]] == []
