"""Draw the README's picture: a real run of the quick sessions in a sample with a failing test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH = 110
LINES = 19
REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run it on a terminal of `WIDTH` columns, and write the last `LINES` lines as an SVG."""
    with tempfile.TemporaryDirectory() as folder:
        crate = Path(folder) / "uart"
        shutil.copytree(REPOSITORY / "samples" / "uart", crate, ignore=shutil.ignore_patterns("target"))
        console = crate / "tests" / "console.rs"
        console.write_text(console.read_text().replace("assert_eq!(", "assert_ne!(", 1))
        subprocess.run(["git", "init", "--quiet", crate], check=True)
        nox = f"stty cols {WIDTH}; cd '{crate}'; '{sys.executable}' -m nox"
        script = ["script", "--quiet", "--return", "--command", nox, os.devnull]
        done = subprocess.run(script, capture_output=True, text=True, check=False)
    shown = ["$ nox", "...", *done.stdout.replace("\r", "").replace(str(crate), "uart").splitlines()[-LINES:]]
    recorder = Console(record=True, width=WIDTH, file=Path(os.devnull).open("w"))  # noqa: SIM115 - ends here
    recorder.print(Text.from_ansi("\n".join(shown)))
    drawn = recorder.export_svg(title="samples/uart", theme=MONOKAI)
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # nothing from the network
    (REPOSITORY / "docs" / "run.svg").write_text(drawn)


main()
