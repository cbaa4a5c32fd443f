"""What a terminal shows: while nothing is printed, its last line says what is being done."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.crates import new_crate
from tests.terminals import COLUMNS, on_terminal, python, screen

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
from rustvmm_sessions import console, process
console.SILENCE = 0.3

def sh(script, **more):
    process.run(["sh", "-c", script], **more)
"""
LONG = "of-a-name-that-is-longer-than-the-line-of-this-terminal-is-wide"
PLAN = f"""{SCRIPT}
with console.task(session="unit-tests"), console.task(share="3/7"):
    sh("echo begin; sleep 1.2; echo {LONG}; sleep 0.6; : {LONG}", echo=False)
    console.say("end")
"""
SHOWN = re.compile(r"\r([^\r\n]*  \d+:\d\d)\x1b\[K")


def test_silence_is_filled_by_what_is_being_done(tmp_path: Path) -> None:
    _, printed = on_terminal(python(PLAN), cwd=tmp_path)

    shown = SHOWN.findall(printed)
    assert shown[0] == "unit-tests 3/7: sh -c 'echo begin; sleep 1.2; echo...  0:00"
    assert len(shown) >= 3  # with its second second, and once more after what was printed between
    assert all(len(line) < COLUMNS for line in shown)
    assert screen(printed) == ["begin", LONG, "end", ""]


@pytest.mark.parametrize("env", [{"CI": "true"}, {"BUILDKITE": "true"}, {"TERM": "dumb"}], ids=str)
def test_where_output_is_kept_there_is_no_line(tmp_path: Path, env: dict[str, str]) -> None:
    _, printed = on_terminal(python(PLAN), cwd=tmp_path, env=env)
    assert printed == f"begin\r\n{LONG}\r\nend\r\n"


def test_no_line_is_in_a_pipe(tmp_path: Path) -> None:
    _, printed = on_terminal(python(PLAN), cwd=tmp_path, redirected=True)
    assert printed == f"begin\r\n{LONG}\r\nend\r\n"
    done = subprocess.run(python(PLAN), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"begin\n{LONG}\nend\n", "")


def test_a_program_s_own_bar_is_left_alone(tmp_path: Path) -> None:
    script = f"""{SCRIPT}
sh(r"printf '10 %%\\r'; sleep 0.8; printf '100 %%\\n'", echo=False)
"""
    _, printed = on_terminal(python(script), cwd=tmp_path)
    assert printed == "10 %\r100 %\r\n"


def test_the_line_of_something_longer_stays_between_its_programs(tmp_path: Path) -> None:
    script = f"""{SCRIPT}
with console.task(session="bench", share="2/9") as shown:
    for pair in range(40):
        shown.what = f"{{pair // 20}} pairs: memcpy"
        sh("sleep 0.04", echo=False)
sh("sleep 0.5", echo=False)
print("over")
"""
    _, printed = on_terminal(python(script), cwd=tmp_path)
    lines = SHOWN.findall(printed)
    shown = [line.rpartition("  ")[0] for line in lines]
    assert list(dict.fromkeys(shown[:-1])) == ["bench 2/9: 0 pairs: memcpy", "bench 2/9: 1 pairs: memcpy"]
    assert len(lines) == len(set(lines))  # drawn again only where it changes
    assert shown[-1] == "sh -c 'sleep 0.5'"
    assert screen(printed) == ["over", ""]


def test_it_is_gone_where_a_program_is_ended(tmp_path: Path) -> None:
    script = f"""{SCRIPT}
sh("sleep 5", echo=False, timeout=0.6)
console.warn("too late")
"""
    _, printed = on_terminal(python(script), cwd=tmp_path)
    assert SHOWN.search(printed)
    assert screen(printed) == ["warning: too late", ""]


def test_a_name_cannot_move_the_cursor(tmp_path: Path) -> None:
    script = f"""{SCRIPT}
process.run(["sh", "-c", "sleep 0.6", chr(27) + "[2J" + chr(10) + "x"], echo=False)
"""
    _, printed = on_terminal(python(script), cwd=tmp_path)
    assert SHOWN.findall(printed)[0].startswith("sh -c 'sleep 0.6' '\\x1b[2J x'")


def test_cargo_keeps_its_colours_where_sessions_run_in_parallel(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate").with_lib("pub fn one() -> i32 {\n    let x = 1;\n    1\n}\n")
    nox = [sys.executable, "-m", "nox", "-s", "fmt", "clippy", "-j", "2"]
    status, printed = on_terminal(nox, cwd=crate.directory)
    assert status == 1
    assert "\x1b[1m\x1b[91merror\x1b[0m" in printed
    assert "\x1b[9" not in on_terminal(nox, cwd=crate.directory, env={"NO_COLOR": "1"})[1]
