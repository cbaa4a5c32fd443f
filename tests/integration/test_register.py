"""What a noxfile can do: ``register()``, sessions of its own, and where it may stand."""

from __future__ import annotations

import json
import os
import py_compile
import re
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from rustvmm_sessions import catalog
from rustvmm_sessions.rust.cargo import machine
from tests.crates import REPOSITORY, CrateBuilder, Outcome, new_crate, run

SCRIPT_BLOCK = """\
# /// script
# dependencies = ["rustvmm-sessions", "nox"]
# ///
"""
OTHER = "aarch64" if machine() == "x86_64" else "x86_64"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    crate = new_crate(tmp_path_factory.mktemp("register") / "crate")
    assert crate.coverage("--backend=cargo", "--profile=devel").code == 0
    return crate


@pytest.fixture
def crate(built: CrateBuilder) -> CrateBuilder:
    """A crate that is built and recorded, with the plain noxfile."""
    return built.with_noxfile()


def measured(path: Path) -> Any:
    return json.loads(path.read_text())["lines"]["covered"]


def one_message(outcome: Outcome, *parts: str) -> None:
    """Assert that nox ended because of the noxfile, with one message that has all `parts`."""
    assert outcome.code == 2
    assert outcome.err.count("error: ") == 1
    for part in parts:
        assert part in outcome.err
    assert "Traceback" not in outcome.text


OWN = """\
import nox
from rustvmm_sessions import register

crate = register(env={{"GREETING": "hello"}})


@crate.session{options}
def own(session):
    \"\"\"Do a thing of our own.

    At length.
    \"\"\"
    {body}
"""


def with_own(crate: CrateBuilder, body: str, options: str = "") -> CrateBuilder:
    return crate.with_file("noxfile.py", OWN.format(options=options, body=body))


# Where a noxfile may stand, and how it is run


def test_a_noxfile_with_a_script_block_runs_as_a_script(crate: CrateBuilder) -> None:
    path = crate.directory / "noxfile.py"
    path.write_text(SCRIPT_BLOCK + path.read_text())
    outcome = run(
        [sys.executable, "noxfile.py", "-s", "coverage", "--", "--json=target/out.json"], cwd=crate.directory
    )
    assert outcome.code == 0, outcome.text
    assert measured(crate.directory / "target/out.json") == 8


def test_a_noxfile_named_from_another_directory_means_its_own_crate(
    crate: CrateBuilder, tmp_path: Path
) -> None:
    """Files named on the command line are meant from where the user stands."""
    outcome = crate.nox(
        *("-f", str(crate.directory / "noxfile.py"), "-s", "coverage"),
        *("--", "--json=out.json", "--lcov", "out.info", "--html=pages"),
        cwd=tmp_path,
    )
    assert outcome.code == 0, outcome.text
    assert measured(tmp_path / "out.json") == 8
    assert (tmp_path / "out.info").read_text().startswith(f"SF:{crate.directory}/src/lib.rs\n")
    assert f"HTML report: {tmp_path}/pages/index.html" in outcome.out


def test_the_library_may_be_a_folder_of_the_crate(crate: CrateBuilder, tmp_path: Path) -> None:
    """As with a git submodule: the interpreter has nox and filelock, and none of ours."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "rustvmm" not in entry.name:
            (packages / entry.name).symlink_to(entry)
    shutil.copytree(
        REPOSITORY / "rustvmm_sessions",
        crate.directory / "ci/rustvmm_sessions",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    python = [sys.executable, "-S", "-P"]
    env: dict[str, str | None] = {"PYTHONPATH": str(packages)}
    assert run([*python, "-c", "import rustvmm_sessions"], cwd=crate.directory, env=env).code == 1
    crate.with_file(
        "noxfile.py",
        "import pathlib, sys\n"
        'sys.path.insert(0, str(pathlib.Path(__file__).parent / "ci"))\n'
        "from rustvmm_sessions import register\n\nregister()\n",
    )
    outcome = run(
        [*python, "-m", "nox", "-s", "coverage", "--", "--json=target/out.json"], cwd=crate.directory, env=env
    )
    shutil.rmtree(crate.directory / "ci")
    assert outcome.code == 0, outcome.text
    assert measured(crate.directory / "target/out.json") == 8


SEVERAL = """\
import sys
import nox

for noxfile in sys.argv[1:]:
    for words in (["-l"], ["-s", "own"]):
        sys.argv = ["nox", "-f", noxfile, *words]
        try:
            nox.main()
        except SystemExit as end:
            print(f"exit {end.code}", flush=True)
"""


def test_several_noxfiles_in_one_process_do_not_mix(tmp_path: Path) -> None:
    one, two = (with_own(new_crate(tmp_path / name), "print(crate.settings.directory)") for name in "ab")
    files = [str(crate.directory / "noxfile.py") for crate in (one, two, one)]
    Path(files[1]).write_text(Path(files[1]).read_text().replace("register(", 'register(skip=["setup"], '))
    outcome = run([sys.executable, "-c", SEVERAL, *files], cwd=tmp_path)
    everything = [*(session.name for session in catalog.STANDARD), "own"]
    fewer = [name for name in everything if name != "setup"]
    listed = [line.split()[1] for line in outcome.out.splitlines() if " -> " in line]
    assert listed == [*everything, *fewer, *everything]
    ran = [line for line in outcome.out.splitlines() if line.startswith((f"{tmp_path}", "exit"))]
    assert ran == [line for crate in (one, two, one) for line in ("exit 0", str(crate.directory), "exit 0")]
    assert "Warning" not in outcome.err


def test_sessions_are_listed_with_a_first_line_where_rust_is_not_installed(crate: CrateBuilder) -> None:
    outcome = crate.nox("-l", env={"PATH": "/nonexistent"})
    assert outcome.code == 0
    for session in catalog.STANDARD:
        assert session.summary in outcome.out
    assert [line[0] for line in outcome.out.splitlines() if " -> " in line] == [
        "*" if "quick" in session.tags else "-" for session in catalog.STANDARD
    ]


def with_same_stamp(crate: CrateBuilder, name: str, skipped: str) -> Path:
    """Write a noxfile that differs in nothing that Python looks at."""
    path = crate.directory / name
    text = OWN.format(options="", body="pass").replace("env={", f'skip=["{skipped}"], env={{')
    path.write_text(text + 'if __name__ == "__main__":\n    nox.main()\n')
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def left_out(outcome: Outcome) -> list[str]:
    assert outcome.code == 0, outcome.text
    listed = [line.split()[1] for line in outcome.out.splitlines() if " -> " in line]
    return [session.name for session in catalog.STANDARD if session.name not in listed]


@pytest.mark.parametrize("bytecode", [None, "1"])
@pytest.mark.parametrize(
    "way", [["-m", "nox", "-l"], ["-m", "nox", "-l", "-f", "other.py"], ["noxfile.py", "-l"]]
)
def test_a_noxfile_that_changed_is_the_one_that_runs(
    tmp_path: Path, way: list[str], bytecode: str | None
) -> None:
    """Python goes by size and second of the time stamp, unless it is told otherwise."""
    crate = new_crate(tmp_path)
    for skipped in ("bench", "audit", "bench"):
        with_same_stamp(crate, "other.py" if "other.py" in way else "noxfile.py", skipped)
        env = {"PYTHONDONTWRITEBYTECODE": bytecode}
        assert left_out(run([sys.executable, *way], cwd=crate.directory, env=env)) == [skipped]


def test_a_noxfile_that_python_ran_as_it_was_is_refused(tmp_path: Path) -> None:
    """The bytecode is of a time when nothing of ours ran, as after an exception above register()."""
    crate = new_crate(tmp_path)
    kept = Path(py_compile.compile(str(with_same_stamp(crate, "noxfile.py", "bench"))) or "")
    with_same_stamp(crate, "noxfile.py", "audit")

    outcome = crate.nox("-l")

    one_message(outcome, "an older version of this noxfile", "run it again", str(kept))
    kept.unlink()
    assert left_out(crate.nox("-l")) == ["audit"]


def test_bytecode_that_is_current_or_not_used_is_no_fault(tmp_path: Path) -> None:
    crate = new_crate(tmp_path)
    noxfile = with_same_stamp(crate, "noxfile.py", "bench")
    py_compile.compile(str(noxfile))
    assert left_out(crate.nox("-l")) == ["bench"]
    py_compile.compile(str(noxfile), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    with_same_stamp(crate, "noxfile.py", "audit")
    os.utime(noxfile, (1_800_000_000, 1_800_000_000))
    for bytecode in ("1", None):
        assert left_out(crate.nox("-l", env={"PYTHONDONTWRITEBYTECODE": bytecode})) == ["audit"]


# What register() is told


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ("workspce=True", ("no option 'workspce'", "--> register()", "did you mean 'workspace'?")),
        ('skip=["covrage"]', ("no standard session 'covrage'", "skip=", "did you mean 'coverage'?")),
        ('overrides={"coverge": {}}', ("no standard session 'coverge'", "did you mean 'coverage'?")),
        (
            'overrides={"coverage": {"timeout": 3}}',
            ("no option 'timeout'", "overrides={'coverage': ...}", "did you mean 'timeout_minutes'?"),
        ),
        ('platforms=["x86"]', ("no platform 'x86'", "did you mean 'x86_64'?")),
        ("workspace=1", ("1 is not True or False", "register(workspace=...)")),
        ('skip="coverage"', ("'coverage' is not a list of strings", "register(skip=...)")),
        ('env={"A": 1}', ("is not a dict of strings", "register(env=...)")),
        ("overrides=[]", ("[] is not a dict", "register(overrides=...)")),
        ('coverage_tolerance="1"', ("'1' is not a number of points", "register(coverage_tolerance=...)")),
        ("coverage_tolerance=101", ("101 is not a number of points from 0 to 100",)),
        ("platforms=[]", ("is not at least one platform", "register(platforms=...)")),
        (
            'overrides={"coverage": {"timeout_minutes": 0}}',
            ("0 is not a number of minutes above 0", "timeout_minutes"),
        ),
    ],
)
def test_a_wrong_option_is_one_message_that_ends_nox(
    crate: CrateBuilder, options: str, parts: tuple[str, ...]
) -> None:
    one_message(crate.with_noxfile(options).nox("-l"), *parts)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ('overrides={"coverage": {"devices": ["/dev/lost"]}}', 1, "the device /dev/lost is not there"),
        (f'overrides={{"coverage": {{"platforms": ["{OTHER}"]}}}}', 0, f"coverage is for {OTHER}"),
        (f'platforms=["{OTHER}"]', 0, f"coverage is for {OTHER}, this machine is {machine()}"),
        ('overrides={"coverage": {"env": {"RUSTC": "/lost"}}}', 1, "/lost"),
    ],
)
def test_settings_hold_for_standard_sessions(
    crate: CrateBuilder, options: str, code: int, message: str
) -> None:
    outcome = crate.with_noxfile(options).coverage()
    assert (outcome.code, "measured:" in outcome.out) == (code, False)
    assert message in outcome.err
    assert "Traceback" not in outcome.text


def test_rust_vmm_cis_names_are_understood_in_settings(crate: CrateBuilder) -> None:
    for session in catalog.STANDARD:
        name = session.alias or session.name
        listed = crate.with_noxfile(f"skip=[{name!r}]").nox("-l").out
        assert session.summary not in listed


# What nox itself does not know

UNKNOWN = [
    (["-s", "coverge"], "did you mean 'coverage'?"),
    (["-s", "style", "unit-test"], "did you mean 'fmt', 'unit-tests'?"),
    (["-t", "gates"], "did you mean 'gate'?"),
    (["--tags=qick", "-r"], "did you mean 'quick'?"),
    (["-t", "xyz"], "there are: gate, quick, lint, build, musl, test, network, bench, extra, helpers"),
    (["--usage", "doctr"], "did you mean 'doctor'?"),
]


@pytest.mark.parametrize(("words", "meant"), UNKNOWN, ids=str)
def test_a_session_or_tag_that_nox_does_not_know_is_answered_with_the_nearest(
    crate: CrateBuilder, words: list[str], meant: str
) -> None:
    outcome = crate.nox(*words)
    assert outcome.code == (1 if words[0] == "--usage" else 3)
    assert outcome.err.endswith(f"\nhelp: {meant}\n")


# Options after --


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prof=ci"], "the session coverage has no option '--prof'"),
        (["--profil", "ci"], "the session coverage has no option '--profil'"),
        (["--jsn", "x"], "the session coverage has no option '--jsn'"),
        (["serial::"], "the session coverage has no option 'serial::'"),
        (["--profile=devl"], "argument --profile: invalid choice: 'devl' (choose from 'ci', 'devel')"),
        (["--backend=llvm"], "invalid choice: 'llvm' (choose from 'auto', 'cargo-llvm-cov', 'cargo')"),
        (["--scope", "all"], "argument --scope: invalid choice: 'all' (choose from 'workspace', 'crate')"),
        (["--json"], "argument --json: expected one argument"),
    ],
)
def test_a_wrong_word_is_one_message_that_names_the_options(
    crate: CrateBuilder, words: list[str], message: str
) -> None:
    outcome = crate.coverage(*words)
    assert outcome.code == 1
    assert message in outcome.err
    assert "--help, --profile, --backend, --scope" in outcome.err
    assert "Traceback" not in outcome.text
    assert "usage:" not in outcome.text
    assert "+ cargo" not in outcome.err


@pytest.mark.parametrize(
    ("word", "right"), [("--prof", "--profile"), ("--htlm", "--html"), ("--reps", "--repeat")]
)
def test_an_unknown_option_is_answered_with_the_nearest(crate: CrateBuilder, word: str, right: str) -> None:
    assert f"did you mean {right!r}?" in crate.coverage(word).err


@pytest.mark.parametrize("session", [session.name for session in catalog.STANDARD])
def test_help_lists_the_options_and_runs_nothing(crate: CrateBuilder, session: str) -> None:
    outcome = crate.nox("-s", session, "--", "--help", env={"PATH": "/nonexistent"})
    assert outcome.code == 0
    assert f"usage: nox -s {session} --" in outcome.out
    assert "--help" in outcome.out
    assert "+ " not in outcome.err


# Sessions of the crate's own


def test_an_own_session_is_listed_with_its_first_line_and_tags(crate: CrateBuilder) -> None:
    listed = with_own(crate, "pass", '(tags=["gate", "quick"], timeout_minutes=20)').nox("-l").out
    assert "* own [gate,quick] -> Do a thing of our own.\n" in listed
    assert "At length" not in listed


def test_an_own_session_may_be_decorated_without_options(crate: CrateBuilder) -> None:
    outcome = with_own(crate, 'session.log("did it")').nox("-s", "own")
    assert outcome.code == 0
    assert "did it" in outcome.err
    assert "- own -> Do a thing of our own." in crate.nox("-l").out


def test_an_own_session_runs_cargo_in_the_crate_with_the_crates_variables(
    crate: CrateBuilder, tmp_path: Path
) -> None:
    body = (
        'crate.cargo(session, "metadata", "--no-deps", "--format-version=1", env={"CARGO_TARGET_DIR": "/t"})'
    )
    outcome = with_own(crate, body).nox("-f", str(crate.directory / "noxfile.py"), "-s", "own", cwd=tmp_path)
    assert outcome.code == 0
    assert json.loads(outcome.out)["target_directory"] == "/t"
    assert json.loads(outcome.out)["workspace_root"] == str(crate.directory)
    assert "+ cargo metadata --no-deps --format-version=1\n" in outcome.err


def test_an_own_session_runs_programs_with_the_variables_of_all_levels(crate: CrateBuilder) -> None:
    body = 'crate.run(session, "sh", "-c", "echo $GREETING $WHO $MARK; pwd", env={"MARK": "!"})'
    outcome = with_own(crate, body, '(env={"WHO": "you"})').nox("-s", "own")
    assert outcome.out == f"hello you !\n{crate.directory}\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('crate.cargo(session, "no-such-command")', "cargo no-such-command: exit status 101"),
        ('crate.run(session, "sh", "-c", "kill -ABRT $$")', "sh -c 'kill -ABRT $$': killed by SIGABRT"),
        ('crate.run(session, "no-such-program")', "the program 'no-such-program' is not there"),
    ],
)
def test_an_own_session_fails_with_what_it_runs(crate: CrateBuilder, body: str, message: str) -> None:
    outcome = with_own(crate, body).nox("-s", "own")
    assert outcome.code == 1
    assert message in outcome.err
    assert "Traceback" not in outcome.text


def test_an_own_session_ends_at_its_time_limit(crate: CrateBuilder) -> None:
    body = 'crate.run(session, "sleep", "60")'
    outcome = with_own(crate, body, "(timeout_minutes=0.01)").nox("-s", "own")
    assert outcome.code == 1
    assert "sleep 60: stopped at the time limit timeout_minutes=0.01 after 1 s" in outcome.err


def test_an_own_session_needs_its_devices(crate: CrateBuilder) -> None:
    outcome = with_own(crate, 'print("ran")', '(devices=["/dev/null", "/dev/lost"])').nox("-s", "own")
    assert outcome.code == 1
    assert "the device /dev/lost is not there" in outcome.err
    assert "ran" not in outcome.out
    assert with_own(crate, 'print("ran")', '(devices=["/dev/null"])').nox("-s", "own").out == "ran\n"


def test_an_own_session_is_skipped_on_other_platforms(crate: CrateBuilder) -> None:
    outcome = with_own(crate, 'print("ran")', f'(platforms=["{OTHER}"])').nox("-s", "own")
    assert outcome.code == 0
    assert f"own is for {OTHER}, this machine is {machine()}" in outcome.err
    assert "ran" not in outcome.out


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (
            '(name="coverage")',
            ("there is a session 'coverage' already", "own", 'register(skip=["coverage"])'),
        ),
        ("(timeout=20)", ("no option 'timeout'", "@crate.session, own", "did you mean 'timeout_minutes'?")),
        ('(platforms=["arm"])', ("no platform 'arm'", "@crate.session, own, platforms")),
        ('(devices="/dev/kvm")', ("'/dev/kvm' is not a list of strings", "@crate.session, own, devices")),
    ],
)
def test_a_wrong_option_of_an_own_session_is_one_message(
    crate: CrateBuilder, options: str, parts: tuple[str, ...]
) -> None:
    one_message(with_own(crate, "pass", options).nox("-l"), *parts)


def test_a_second_own_session_of_a_name_is_refused(crate: CrateBuilder) -> None:
    with_own(crate, "pass")
    path = crate.directory / "noxfile.py"
    path.write_text(path.read_text() + '\n\n@crate.session(name="own")\ndef other(session):\n    pass\n')
    one_message(crate.nox("-l"), "there is a session 'own' already", "@crate.session, other")


def test_an_own_session_may_take_the_place_of_a_standard_one(crate: CrateBuilder) -> None:
    with_own(crate, 'print("ours")', '(name="coverage")')
    path = crate.directory / "noxfile.py"
    path.write_text(path.read_text().replace("register(", 'register(skip=["coverage"], '))
    assert crate.coverage().out == "ours\n"


PARAMETRIZED = """\
import nox
from rustvmm_sessions import register

crate = register(platforms=["x86_64", "aarch64"])


{decorators}
def own(session, feature):
    \"\"\"Say which.\"\"\"
    crate.run(session, "echo", "it is", feature)
"""
VALUES = '@nox.parametrize("feature", ["one", "two"], ids=[None, "the second"])'


@pytest.mark.parametrize(
    "decorators", [[VALUES, "@crate.session"], ["@crate.session(timeout_minutes=3)", VALUES]]
)
def test_a_session_of_its_own_may_have_parameters(crate: CrateBuilder, decorators: list[str]) -> None:
    crate.with_file("noxfile.py", PARAMETRIZED.format(decorators="\n".join(decorators)))

    every = crate.nox("-s", "own")
    one = crate.nox("-s", "own(feature='one')")
    listed = [step for step in steps(crate) if step["label"].startswith("own")]

    assert re.findall("^it is .*", every.out, re.MULTILINE) == ["it is one", "it is two"]
    assert re.search(r"^own\(the second\) +passed", every.out, re.MULTILINE)
    assert re.findall("^it is .*", one.out, re.MULTILINE) == ["it is one"]
    assert [step["label"] for step in listed] == [
        f"own({value})-{platform}"
        for value in ("feature='one'", "the second")
        for platform in ("x86_64", "aarch64")
    ]
    assert [shlex.split(step["command"])[2] for step in listed[::2]] == [
        "own(feature='one')",
        "own(the second)",
    ]
    assert not [step for step in steps(crate, TESTS_TO_SKIP='["own"]') if step["label"].startswith("own")]


def steps(crate: CrateBuilder, **variables: str) -> Any:
    outcome = crate.nox("-s", "pipeline", env=dict(variables))
    assert outcome.code == 0, outcome.text
    return yaml.safe_load(outcome.out)["steps"]


def test_install_only_runs_nothing(crate: CrateBuilder) -> None:
    with_own(crate, 'crate.run(session, "touch", "ran")')
    described = '{"tests": [{"test_name": "custom", "command": "touch ran", "platform": ["x86_64"]}]}'
    crate.with_file(".buildkite/custom-tests.json", described)
    path = crate.directory / "noxfile.py"
    path.write_text(path.read_text().replace("env=", 'custom_tests=".buildkite/custom-tests.json", env='))

    outcome = crate.nox("--install-only", "-s", "fmt", "coverage", "own", "custom")

    assert outcome.code == 0, outcome.text
    assert outcome.err.count("skipped: nothing is to be run: --install-only") == 4
    assert not (crate.directory / "ran").exists()
    assert "+ cargo" not in outcome.text
