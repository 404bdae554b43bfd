"""Run Streamlit on `main.py`: the process that `serve` starts.

Its folder is the one of the pages, whatever the user's is: Streamlit imports and reads settings
from the current folder, and tells browsers the script's path, which is a mere name here.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

from sessions.study.app import APP


def main() -> None:
    """Run the server until it is told to stop; its settings are the one argument, as JSON."""
    os.chdir(APP.parent)
    from streamlit.web import bootstrap

    flags = json.loads(sys.argv[1])
    bootstrap.load_config_options(flags)
    for name in ("sessions.study.app.main", "pandas"):  # or the first rater waits for them
        import_module(name)
    bootstrap.run(APP.name, False, [], flags)


if __name__ == "__main__":
    main()
