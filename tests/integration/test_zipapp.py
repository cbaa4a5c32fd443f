"""The zipapp: built from what is installed, the same each time, and enough for a Python without packages."""

from __future__ import annotations

import importlib.metadata
import io
import marshal
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rustvmm_sessions import __version__, zipapp
from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.vendored import RENEW
from tests.crates import REPOSITORY, CrateBuilder, new_crate, run

PYTHON = "/usr/bin/python3"
"""Debian's Python, which has neither nox nor this library."""

SCRIPT = """\
# /// script
# dependencies = ["rustvmm-sessions[tools]", "nox"{more}]
# ///
import nox
from rustvmm_sessions import register

register()

if __name__ == "__main__":
    nox.main()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zipapp") / "rustvmm-sessions.pyz"
    outcome = run(
        [sys.executable, "-m", "rustvmm_sessions.cli", "zipapp", "--output", str(path)], cwd=path.parent
    )
    assert outcome.code == 0, outcome.text
    return path


def names(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        return opened.namelist()


PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
PYTHONS = [
    *Path("/usr/bin").glob("python3.1[1-9]"),
    *sorted(PYENV.glob("versions/3.1[1-9].*/bin/python3.1[1-9]")),
]
"""The Pythons of this machine that it is for."""


def processor_seconds(*command: str | Path, cwd: Path, env: dict[str, str | None]) -> float:
    """Run a command; return the time of the processor that it took: other tests run at the same time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome = run([*map(str, command)], cwd=cwd, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert outcome.code == 0, outcome.text
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_it_is_small_and_starts_at_once(built: Path, tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate").with_git()
    env: dict[str, str | None] = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": None}
    seconds = [processor_seconds(PYTHON, "-S", built, "-l", cwd=crate.directory, env=env) for _ in range(4)]

    assert built.stat().st_size <= 4_000_000
    assert seconds[0] <= 0.6
    assert min(seconds[1:]) <= 0.8 * seconds[0]  # nothing is compiled again
    (kept,) = (tmp_path / "cache/rustvmm-sessions/bytecode").iterdir()
    assert kept.stat().st_size > 1_000_000
    assert crate.git("status", "--porcelain") == ""


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: "-".join(path.parts[-3:]))
def test_each_python_runs_it_from_a_read_only_checkout_with_a_read_only_home(
    built: Path, tmp_path: Path, python: Path
) -> None:
    crate = new_crate(tmp_path / "crate").with_file(
        "t.json", '{"tests": [{"test_name": "boot", "command": "echo booted"}]}'
    )
    own = "\n\n@crate.session\ndef mine(session):\n    crate.run(session, 'echo', 'mine')\n"
    noxfile = SCRIPT.format(more="").replace("register()", 'crate = register(custom_tests="t.json")' + own)
    crate.with_file("noxfile.py", noxfile).with_git()
    (tmp_path / "home").mkdir()
    for place in (crate.directory, tmp_path / "home"):
        subprocess.run(["mount", "--bind", place, place], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
    try:
        env = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": None, "PYTHONPATH": None}
        env |= {"RUSTUP_HOME": str(Cargo(directory=REPOSITORY).rustup_home)}
        outcomes = [
            run([str(python), "-I", "-S", str(built), *words], cwd=crate.directory, env={**env})
            for words in (["-l"], ["-s", "fmt", "mine", "boot"], ["-s", "pipeline"])
        ]
    finally:
        for place in (crate.directory, tmp_path / "home"):
            subprocess.run(["umount", place], check=True)

    assert [outcome.code for outcome in outcomes] == [0, 0, 0], "".join(each.text for each in outcomes)
    assert "- boot [gate,custom] -> Custom test: echo booted" in outcomes[0].out
    assert "mine\n" in outcomes[1].out
    assert "booted\n" in outcomes[1].out
    assert "label: boot" in outcomes[2].out


def test_the_same_versions_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    elsewhere = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": None}
    other = tmp_path / "other.pyz"
    outcome = run(
        [sys.executable, "-m", "rustvmm_sessions.cli", "zipapp", "--output", str(other)],
        cwd=tmp_path,
        env={**elsewhere},
    )

    assert outcome.code == 0, outcome.text
    assert other.read_bytes() == built.read_bytes()


def test_it_says_its_version(built: Path, tmp_path: Path) -> None:
    outcome = run([PYTHON, str(built), "--version"], cwd=tmp_path)
    nox = importlib.metadata.version("nox")
    assert outcome.out == f"rustvmm-sessions {__version__} with nox {nox}\n"


def test_nothing_compiled_is_in_it_and_every_licence_is(built: Path) -> None:
    inside = names(built.read_bytes())

    assert not [name for name in inside if name.endswith((".so", ".pyc", ".pyd"))]
    distributions = {name.partition("/")[0] for name in inside if ".dist-info/" in name}
    licensed = {
        name.partition("/")[0] for name in inside if ".dist-info/" in name and not name.endswith("/METADATA")
    }
    assert {name.partition("-")[0] for name in distributions} >= {"nox", "pyyaml", "rustvmm_sessions"}
    assert {d.partition("-")[0] for d in distributions - licensed} <= {
        "rustvmm_sessions"
    }  # installed to be edited


def test_it_can_be_written_to_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with subprocess.Popen(["timeout", "60", "cat", pipe], stdout=subprocess.PIPE) as reader:
        command = [sys.executable, "-m", "rustvmm_sessions.cli", "zipapp", "--output", str(pipe)]
        with subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
        ) as writer:
            assert reader.stdout is not None
            data = reader.stdout.read()
    assert writer.returncode == 0
    assert zipapp.build() == data
    assert pipe.stat().st_mode & 0o777 == 0o600


def test_it_starts_by_its_name(built: Path, tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate")

    outcome = run([str(built), "-l"], cwd=crate.directory)

    assert outcome.code == 0, outcome.text
    assert "coverage" in outcome.out


def test_it_needs_no_package_of_the_python_that_runs_it(built: Path, tmp_path: Path) -> None:
    shutil.copytree(
        REPOSITORY / "samples" / "uart", tmp_path / "uart", ignore=shutil.ignore_patterns("target")
    )
    crate = CrateBuilder(tmp_path / "uart").with_git()

    outcome = run(
        [PYTHON, "-I", "-S", str(built), "-s", "fmt", "coverage"],
        cwd=crate.directory,
        env={"PYTHONPATH": None},
    )

    assert outcome.code == 0, outcome.text
    assert "measured: 470/507 lines, 92.70 %" in outcome.out
    assert crate.git("status", "--porcelain") == ""


def test_its_hook_judges_by_the_work_tree_that_is_committed_in(built: Path, tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate", options='commit_format={"title": 10}').with_git().with_identity()
    linked = CrateBuilder(tmp_path / "linked")
    crate.git("worktree", "add", "--quiet", str(linked.directory))
    installed = run(
        [PYTHON, "-S", str(built), "-s", "commit-format", "--", "--install-hook"],
        cwd=crate.directory,
        env={"PYTHONPATH": None},
    )
    assert installed.code == 0, installed.text

    def attempt(where: CrateBuilder, title: str) -> int:
        command = ["git", "commit", "--quiet", "--allow-empty", "--signoff", "-m", title]
        return run(command, cwd=where.directory, env={"PYTHONPATH": None}).code

    linked.with_noxfile('commit_format={"title": 20}')
    assert [attempt(crate, "x" * 10), attempt(crate, "x" * 11)] == [0, 1]
    assert [attempt(linked, "x" * 20), attempt(linked, "x" * 21)] == [0, 1]
    (linked.directory / "noxfile.py").unlink()
    assert [attempt(linked, "x" * 60), attempt(linked, "x" * 61)] == [0, 1]


def test_a_noxfile_that_names_what_is_in_it_makes_no_environment(built: Path, tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate").with_file("noxfile.py", SCRIPT.format(more=', "PyYAML>=6"'))

    outcome = run([PYTHON, "-S", str(built), "-l"], cwd=crate.directory)

    assert outcome.code == 0, outcome.text
    assert not (crate.directory / ".nox").exists()


@pytest.mark.parametrize(
    ("asked", "what", "fix"),
    [
        (
            '"no-such-package"',
            "no-such-package, and {pyz} has no such package",
            "take it out, or use a Python",
        ),
        ('"nox<2024"', "nox<2024, and {pyz} has 20", "take it out, or use a Python"),
        ('"rustvmm-sessions>=1.4"', "rustvmm-sessions>=1.4, and {pyz} has 1.0.0", f"renew it: `{RENEW}`"),
    ],
)
def test_a_noxfile_that_asks_for_what_it_does_not_have_is_one_message(
    built: Path, tmp_path: Path, asked: str, what: str, fix: str
) -> None:
    crate = new_crate(tmp_path / "crate").with_file("noxfile.py", SCRIPT.format(more=f", {asked}"))

    outcome = run([PYTHON, "-S", str(built), "-l"], cwd=crate.directory, env={"PATH": "/usr/bin:/bin"})

    assert (outcome.code, outcome.out) == (2, "")
    assert f"error: the noxfile asks for {what.format(pyz=built)}" in outcome.err
    assert " --> noxfile.py, dependencies\n" in outcome.err
    assert f"help: {fix}" in outcome.err
    assert "Traceback" not in outcome.err


def test_bytecode_that_somebody_else_may_have_written_is_not_run(built: Path, tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate")
    env: dict[str, str | None] = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    words = [PYTHON, "-S", str(built), "-l"]
    listed = run(words, cwd=crate.directory, env=env).out
    (kept,) = (tmp_path / "cache/rustvmm-sessions/bytecode").iterdir()
    evil = marshal.dumps({"nox": compile("raise SystemExit('evil')", "evil", "exec", dont_inherit=True)})
    kept.write_bytes(evil)
    assert "evil" in run(words, cwd=crate.directory, env=env).err  # so it is this file that is run

    for mode, owner in ((0o666, 0), (0o644, 12345)):
        kept.write_bytes(evil)
        kept.chmod(mode)
        os.chown(kept, owner, owner)
        assert run(words, cwd=crate.directory, env=env).out == listed
    kept.unlink()
    kept.write_bytes(b"damaged")
    assert run(words, cwd=crate.directory, env=env).out == listed
    old = kept.with_name("old")
    old.touch()
    os.utime(old, (0, 0))
    kept.unlink()
    run(words, cwd=crate.directory, env=env)
    assert not old.exists()


def test_an_older_python_is_told_so(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built) as opened:
        main = opened.read("__main__.py").decode()
    old = "import sys; sys.version_info = (3, 10); sys.version = '3.10.1 (x)'\n"

    outcome = run([sys.executable, "-c", old + main], cwd=tmp_path)

    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "rustvmm-sessions needs Python 3.11 or newer, this is 3.10.1\n"
    compile(main, "main", "exec", dont_inherit=True)


def test_from_a_zipapp_the_same_one_is_carried_on(built: Path, tmp_path: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); from rustvmm_sessions import zipapp"
    code += "; print(zipapp.carried())"

    outcome = run(
        [PYTHON, "-I", "-S", "-c", code, str(built)],
        cwd=tmp_path,
        env={"XDG_CACHE_HOME": str(tmp_path / "none")},
    )

    assert outcome.out == f"{built}\n", outcome.text
    assert not (tmp_path / "none").exists()


def test_the_one_in_the_cache_is_made_once_and_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = zipapp.carried()
    stamp = first.stat().st_mtime_ns
    old, recent = first.with_name("old.pyz"), first.with_name("recent.pyz")
    for other in (old, recent):
        other.touch()
    os.utime(old, (0, 0))

    assert zipapp.carried() == first
    assert first.stat().st_mtime_ns == stamp
    assert first.stat().st_mode & 0o777 == 0o755  # another user of the container reads it
    assert recent.exists()
    assert not old.exists()


def test_the_projects_own_session_builds_it() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "-l"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert "- zipapp -> Build rustvmm-sessions.pyz" in listed.stdout
