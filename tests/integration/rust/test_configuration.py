"""Cargo's configuration: what it sets for a crate, as cargo itself takes it."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.configuration import configurations, runner, source_directories, with_flags
from tests.crates import new_crate, run
from tests.fakes import HOST

MUSL = HOST.replace("gnu", "musl")


@pytest.fixture
def crate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A crate's directory, ``work/crate``, with a cargo home beside it."""
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(f"CARGO_TARGET_{HOST.upper().replace('-', '_')}_RUNNER", raising=False)
    directory = tmp_path / "work" / "crate"
    directory.mkdir(parents=True)
    return directory


def configure(directory: Path, text: str, name: str = ".cargo/config.toml") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_configurations_come_from_the_nearest_to_cargos_home(crate: Path) -> None:
    home = configure(crate.parents[1] / "home", "n = 3", "config.toml")
    above = configure(crate.parent, "n = 2")
    nearest = configure(crate, "n = 1")

    assert configurations(Cargo(directory=crate)) == [
        (nearest, {"n": 1}),
        (above, {"n": 2}),
        (home, {"n": 3}),
    ]


def test_the_homes_are_those_that_cargo_and_rustup_are_run_with(
    crate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = configure(crate.parent / "own", "n = 4", "config.toml")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("RUSTUP_HOME", "")
    cargo = Cargo(directory=crate, env={"CARGO_HOME": "../own"})

    assert [(path.resolve(), content) for path, content in configurations(cargo)] == [(own, {"n": 4})]
    assert cargo.home == crate / "../own"
    assert cargo.rustup_home == Path("/home/ada/.rustup")


def test_the_file_without_extension_goes_before_the_other(crate: Path) -> None:
    configure(crate, "n = 2")
    old = configure(crate, "n = 1", ".cargo/config")

    assert configurations(Cargo(directory=crate)) == [(old, {"n": 1})]


@pytest.mark.parametrize("content", [b"[", b"\xff\xfe", None])
def test_a_configuration_that_cannot_be_read_is_left_to_cargo(crate: Path, content: bytes | None) -> None:
    path = crate / ".cargo" / "config.toml"
    path.parent.mkdir()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    above = configure(crate.parent, "n = 2")

    assert configurations(Cargo(directory=crate)) == [(above, {"n": 2})]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('"sudo -E"', ("sudo", "-E")),
        ('["sudo", "-E", "a b"]', ("sudo", "-E", "a b")),
        ('"/opt/run"', ("/opt/run",)),
        ('""', ()),
        ("[]", ()),
    ],
)
def test_the_runner_is_that_of_the_configuration(crate: Path, value: str, words: tuple[str, ...]) -> None:
    configure(crate, f"[target.{HOST}]\nrunner = {value}\n[target.riscv64gc-unknown-linux-gnu]\nrunner = 'q'")

    assert runner(Cargo(directory=crate), HOST) == words


def test_a_relative_runner_holds_from_where_it_is_written(crate: Path) -> None:
    configure(crate.parent, f"[target.{HOST}]\nrunner = 'scripts/run.sh -x a/b'\n")

    assert runner(Cargo(directory=crate), HOST) == (f"{crate.parent}/scripts/run.sh", "-x", "a/b")


def test_the_nearest_runner_counts(crate: Path) -> None:
    configure(crate.parents[1] / "home", f"[target.{HOST}]\nrunner = 'home'\n", "config.toml")
    configure(crate.parent, f"[target.{HOST}]\nrunner = 'above'\n")
    configure(crate, "[build]\njobs = 2\n")

    assert runner(Cargo(directory=crate), HOST) == ("above",)


def test_a_variable_names_the_runner_before_any_file(crate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(crate, f"[target.{HOST}]\nrunner = 'file'\n")
    variable = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"
    monkeypatch.setenv(variable, "caller -x")

    assert runner(Cargo(directory=crate), HOST) == ("caller", "-x")
    assert runner(Cargo(directory=crate, env={variable: "session"}), HOST) == ("session",)


def test_a_runner_for_an_expression_counts_where_it_holds(crate: Path) -> None:
    """The configuration of getrandom has one for emscripten."""
    elsewhere = "[target.'cfg(target_os = \"emscripten\")']\nrunner = 'node'\n"
    configure(crate, elsewhere)
    assert runner(Cargo(directory=crate), HOST) == ()

    configure(crate, elsewhere + "[target.'cfg(all(unix, not(windows)))']\nrunner = 'here'\n")
    assert runner(Cargo(directory=crate), HOST) == ("here",)

    configure(crate.parent, f"[target.{HOST}]\nrunner = 'by-triple'\n")
    assert runner(Cargo(directory=crate), HOST) == ("by-triple",)


def test_without_a_runner_there_is_none(crate: Path) -> None:
    assert runner(Cargo(directory=crate), HOST) == ()


def test_vendored_sources_lie_where_the_configuration_says(crate: Path) -> None:
    configure(
        crate.parent,
        '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "vendor"\n',
    )

    assert source_directories(Cargo(directory=crate)) == (crate.parent / "vendor",)


def test_the_runner_of_an_included_file_counts_and_holds_from_there(crate: Path) -> None:
    configure(crate, 'include = ["one.toml", { path = "../more/.cargo/two.toml" }, "circle.toml"]\n')
    configure(crate, f"[target.{HOST}]\nrunner = './one'\n", ".cargo/one.toml")
    configure(crate, 'include = ["config.toml"]\n', ".cargo/circle.toml")
    configure(crate, f"[target.{HOST}]\nrunner = './two'\n", "more/.cargo/two.toml")

    assert runner(Cargo(directory=crate), HOST) == (f"{crate}/more/two",)


# Flags: what cargo itself passes to rustc and rustdoc, before and after

RECORDER = """\
#!/bin/sh
case " $* " in
*" src/lib.rs "*) printf '%s\\n' "$@" - >> "{log}"; exit 1;;
esac
exec "{program}" "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """A crate whose flags are FLAGS (rustflags or rustdocflags): files below .cargo, and variables."""

    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    triple: str = ""
    ours: tuple[str, ...] = ("--cfg", "ours")


def one_file(text: str, **given: Any) -> Flags:
    return Flags(files={"config.toml": text}, **given)


TARGET = f"CARGO_TARGET_{HOST.upper().replace('-', '_')}_FLAGS"
FLAGS = {
    "nothing": Flags(),
    "string": one_file('[build]\nFLAGS = "--cfg a --cfg b"\n'),
    "list": one_file('[build]\nFLAGS = ["--cfg", "a"]\n'),
    "word with a space": one_file('[build]\nFLAGS = ["--cfg", "a=\\"x y\\""]\n'),
    "string and variable": one_file('[build]\nFLAGS = "--cfg a"\n', env={"CARGO_BUILD_FLAGS": "--cfg b"}),
    "list and variable": one_file('[build]\nFLAGS = ["--cfg=a"]\n', env={"CARGO_BUILD_FLAGS": "--cfg b"}),
    "variable of build": Flags(env={"CARGO_BUILD_FLAGS": "--cfg b"}),
    "target, string": one_file(f'[target.{HOST}]\nFLAGS = "--cfg a"\n[build]\nFLAGS = ["--cfg=b"]\n'),
    "target, list": one_file(f'[target.{HOST}]\nFLAGS = ["--cfg=a"]\n[build]\nFLAGS = "--cfg b"\n'),
    "target, nothing": one_file(f'[target.{HOST}]\nFLAGS = []\n[build]\nFLAGS = "--cfg b"\n'),
    "another target": one_file(f'[target.{MUSL}]\nFLAGS = "--cfg a"\n[build]\nFLAGS = "--cfg b"\n'),
    "target asked for": one_file(f'[target.{MUSL}]\nFLAGS = "--cfg a"\n', triple=MUSL),
    "variable of target": Flags(env={TARGET: "--cfg a", "CARGO_BUILD_FLAGS": "--cfg b"}),
    "target and variable": one_file(f'[target.{HOST}]\nFLAGS = "--cfg a"\n', env={TARGET: "--cfg b"}),
    "list of target and variable": one_file(
        f'[target.{HOST}]\nFLAGS = ["--cfg=a"]\n', env={TARGET: "--cfg b"}
    ),
    "expressions": one_file(
        "[target.'cfg(unix)']\nFLAGS = \"--cfg u\"\n[target.'cfg(all())']\nFLAGS = [\"--cfg=a\"]\n"
        '[target.\'cfg(windows)\']\nFLAGS = "--cfg w"\n[build]\nFLAGS = "--cfg b"\n'
    ),
    "no expression that holds": one_file(
        '[target.\'cfg(windows)\']\nFLAGS = "--cfg w"\n[build]\nFLAGS = "--cfg b"\n'
    ),
    "expression and target": one_file(
        f'[target.\'cfg(unix)\']\nFLAGS = "--cfg u"\n[target.{HOST}]\nFLAGS = ["--cfg=a"]\n'
    ),
    "expression about a flag": one_file(
        '[target.\'cfg(mine)\']\nFLAGS = "--cfg u"\n[build]\nrustflags = ["--cfg=mine"]\n'
    ),
    "included": Flags(
        files={
            "config.toml": 'include = ["one.toml", { path = "two.toml" }]\n[build]\nFLAGS = ["--cfg=a"]\n',
            "one.toml": 'include = ["three.toml"]\n[build]\nFLAGS = ["--cfg=b"]\n',
            "two.toml": '[build]\nFLAGS = ["--cfg=c"]\n',
            "three.toml": '[build]\nFLAGS = ["--cfg=d"]\n',
        }
    ),
    "included, optional": Flags(
        files={
            "config.toml": 'include = [{ path = "no.toml", optional = true }, { path = "one.toml" }]\n',
            "one.toml": f'[target.{HOST}]\nFLAGS = "--cfg b"\n',
        }
    ),
    "lists of several files": Flags(
        files={
            "config.toml": '[build]\nFLAGS = ["--cfg=a"]\n',
            "../../.cargo/config.toml": '[build]\nFLAGS = ["--cfg=b"]\n',
        }
    ),
    "strings of several files": Flags(
        files={
            "config.toml": '[build]\nFLAGS = "--cfg a"\n',
            "../../.cargo/config.toml": '[build]\nFLAGS = "--cfg b"\n',
        }
    ),
    "the variable": one_file('[build]\nFLAGS = "--cfg a"\n', env={"FLAGS": " --cfg  b ", TARGET: "--cfg c"}),
    "the variable, empty": one_file('[build]\nFLAGS = "--cfg a"\n', env={"FLAGS": ""}),
    "the encoded variable": Flags(env={"CARGO_ENCODED_FLAGS": '--cfg\x1fa="x y"', "FLAGS": "--cfg b"}),
    "the encoded variable, empty": Flags(env={"CARGO_ENCODED_FLAGS": "", "FLAGS": "--cfg b"}),
    "ours with a space": one_file('[build]\nFLAGS = "--cfg a"\n', ours=("--cfg", 'ours="x y"')),
    "ours with a space, and a variable": Flags(env={"FLAGS": "--cfg a"}, ours=("--cfg", 'ours="x y"')),
    "target of the configuration": one_file(
        f'[build]\ntarget = "{MUSL}"\nFLAGS = "--cfg b"\n[target.{MUSL}]\nFLAGS = "--cfg a"\n'
    ),
    "target of the variable": one_file(
        f'[build]\nFLAGS = "--cfg b"\n[target.{MUSL}]\nFLAGS = "--cfg a"\n', env={"CARGO_BUILD_TARGET": MUSL}
    ),
    "the host by its other name": one_file(
        f'[build]\ntarget = "host-tuple"\n[target.{HOST}]\nFLAGS = "--cfg a"\n'
    ),
    "several targets": one_file(f'[build]\ntarget = ["{HOST}", "{MUSL}"]\nFLAGS = "--cfg b"\n'),
    "several targets that differ": one_file(
        f'[build]\ntarget = ["{HOST}", "{MUSL}"]\nFLAGS = ["--cfg=b"]\n'
        f'[target.{MUSL}]\nFLAGS = ["--cfg=a"]\n',
        env={f"CARGO_TARGET_{MUSL.upper().replace('-', '_')}_FLAGS": "--cfg c"},
    ),
    "a target beside a list": one_file(f'[build]\ntarget = ["{HOST}"]\n', env={"CARGO_BUILD_TARGET": MUSL}),
}


@pytest.mark.parametrize("toolchain", ["stable", "nightly"])
@pytest.mark.parametrize("kind", ["rustflags", "rustdocflags"])
@pytest.mark.parametrize("case", FLAGS)
def test_flags_join_those_that_cargo_passes(
    crate: Path, monkeypatch: pytest.MonkeyPatch, toolchain: str, kind: str, case: str
) -> None:
    for name in ("RUSTFLAGS", "RUSTDOCFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_ENCODED_RUSTDOCFLAGS"):
        monkeypatch.delenv(name, raising=False)
    given = FLAGS[case]
    new_crate(crate)
    for name, text in given.files.items():
        configure(crate, text.replace("FLAGS", kind), f".cargo/{name}")
    env = {name.replace("FLAGS", kind.upper()): value for name, value in given.env.items()}
    cargo = Cargo(directory=crate, env={**env, "RUSTUP_TOOLCHAIN": toolchain})

    before = passed(cargo, kind, given.triple)
    after = passed(cargo, kind, given.triple, with_flags(cargo, kind, given.ours, triple=given.triple))

    assert before  # rustc or rustdoc is called at least once
    assert after == {target: [*words, given.ours[1]] for target, words in before.items()}


def passed(cargo: Cargo, kind: str, triple: str, flags: dict[str, str] | None = None) -> dict[str, list[str]]:
    """Return the values of --cfg that cargo passes, for each target that it is asked to build."""
    command, program = {"rustflags": ("build", "rustc"), "rustdocflags": ("doc", "rustdoc")}[kind]
    log, recorder = cargo.directory / "log", cargo.directory / program
    log.write_text("")
    recorder.write_text(RECORDER.format(log=log, program=shutil.which(program)))
    recorder.chmod(0o755)
    words = [f"--target={triple}"] if triple else []
    run(
        ["cargo", command, "--quiet", "--keep-going", *words],
        cwd=cargo.directory,
        env={**cargo.env, **(flags or {}), program.upper(): str(recorder)},
    )
    found: dict[str, list[str]] = {}
    for call in log.read_text().split("-\n")[:-1]:
        args = call.splitlines()
        target = next((b for a, b in itertools.pairwise(args) if a == "--target"), "")
        spread = [word for arg in args for word in (arg.split("=", 1) if arg.startswith("--cfg=") else [arg])]
        found[target] = [b for a, b in itertools.pairwise(spread) if a == "--cfg"]
    return found
