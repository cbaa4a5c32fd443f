"""``nox -s container`` with real podman; .ci/container-image provides it and an image without pip."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.container import engines
from rustvmm_sessions.container.model import CLIENT_LABEL, volumes
from rustvmm_sessions.rust.cargo import machine
from tests.containers import (
    CONTAINERS_CONF,
    IMAGE,
    SOMEBODY,
    docker_client,
    docker_service,
    eventually,
    ours,
    own_storage,
    podman,
    public_directory,
)
from tests.crates import REPOSITORY, CrateBuilder, Outcome, new_crate, run
from tests.fakes import Fakes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HANGS = 60
"""Seconds after which something that should have ended is taken to hang."""
SECONDS = 12
"""What "within seconds" means: the grace that tests have to clean up, and some."""
ZIPAPP = "rustvmm-sessions.pyz"
LOCAL = ("--image", IMAGE, "--pull", "never")

NOXFILE = """\
import nox
from rustvmm_sessions import register

crate = register({options})

@crate.session
def show(session):
    \"\"\"Say who and where this is, and leave a file.\"\"\"
    crate.run(session, "sh", "-c", "id -u >/dev/stdout; pwd; touch made; git log --format=%s; env | sort")

@crate.session
def wait(session):
    \"\"\"Take a long time.\"\"\"
    crate.run(session, "sh", "-c", "echo waiting; exec sleep 300")

@crate.session
def tidy(session):
    \"\"\"Let git tidy up, as it does by itself now and then.\"\"\"
    crate.run(session, "git", "gc", "--quiet")

@crate.session
def fail(session):
    \"\"\"Fail.\"\"\"
    crate.run(session, "false")
"""


@pytest.fixture(autouse=True, scope="module")
def _storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with own_storage(tmp_path_factory.mktemp("storage")):
        yield


def small(directory: Path, options: str = "") -> CrateBuilder:
    crate = new_crate(directory).with_file("noxfile.py", NOXFILE.format(options=options))
    return crate.with_git()


def sample(name: str, directory: Path) -> CrateBuilder:
    ignored = shutil.ignore_patterns("target", "__pycache__", ".nox")
    shutil.copytree(REPOSITORY / "samples" / name, directory, ignore=ignored)
    return CrateBuilder(directory).with_git()


def contain(crate: CrateBuilder, *words: str, env: dict[str, str | None] | None = None) -> Outcome:
    """Run ``nox -s container -- WORDS`` with podman and the local image."""
    return crate.nox("-s", "container", "--", "--engine", "podman", *LOCAL, *words, env=env)


@contextmanager
def client(crate: CrateBuilder, *words: str, session: str = "wait") -> Iterator[subprocess.Popen[str]]:
    """Start a client whose session takes long, and wait until that runs."""
    command = [
        sys.executable,
        "-m",
        "nox",
        "-s",
        "container",
        "--",
        "--engine=podman",
        *LOCAL,
        *words,
        session,
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"}
    with subprocess.Popen(
        command,
        cwd=crate.directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "waiting\n", started.communicate()[1]
            yield started
        finally:
            started.kill()


# Sessions


def test_unit_tests_and_coverage_of_a_sample(tmp_path: Path) -> None:
    crate = sample("uart", tmp_path / "uart")

    outcome = contain(crate, "unit-tests", "coverage")

    assert outcome.code == 0, outcome.text
    assert "test device::tests::snapshot_survives_a_restore ... ok" in outcome.out
    assert "measured: 470/507 lines, 92.70 %" in outcome.out
    assert f"Compiling uart v0.1.0 ({crate.directory})" in outcome.err
    assert not (crate.directory / "target").exists()
    assert crate.git("status", "--porcelain") == ""
    assert ours() == []


def test_arguments_and_the_profile_reach_the_session(tmp_path: Path) -> None:
    crate = sample("uart", tmp_path / "uart")
    (crate.directory / "tests" / "coverage").unlink()

    outcome = contain(crate, "coverage", "--", "--profile", "devel", "--lcov", "lines.info")

    assert outcome.code == 0, outcome.text
    assert (crate.directory / "tests" / "coverage").read_text().startswith("92.70\nx86_64 470/507 rustc-")
    assert f"SF:{crate.directory}/src/device.rs\n" in (crate.directory / "lines.info").read_text()


def test_builds_and_downloads_are_kept_in_volumes(tmp_path: Path) -> None:
    crate = sample("uart", tmp_path / "uart")
    first, second = (contain(crate, "unit-tests-release") for _ in range(2))

    assert (first.code, second.code) == (0, 0), first.text + second.text
    assert "Compiling uart" in first.err
    assert "Compiling uart" not in second.err
    build, downloads = volumes(str(crate.directory), IMAGE, os.getuid())
    assert {build.name, downloads.name} <= set(podman("volume", "ls", "--quiet").split())


@pytest.mark.skipif(not os.path.exists("/dev/kvm"), reason="this machine has no /dev/kvm")
def test_kvm(tmp_path: Path) -> None:
    crate = sample("kvm-guest", tmp_path / "kvm-guest")
    # The crates come along: the image may not know the way to a registry that the machine has.
    subprocess.run(["cargo", "vendor", "--quiet"], cwd=crate.directory, check=True)
    source = '[source.crates-io]\nreplace-with = "vendor"\n[source.vendor]\ndirectory = "vendor"\n'
    crate.with_file(".cargo/config.toml", source)

    outcome = contain(crate, "unit-tests")

    assert outcome.code == 0, outcome.text
    assert "--device=/dev/kvm" in outcome.err
    assert "test result: ok" in outcome.out


def test_a_declared_device_that_is_missing_is_the_message_of_the_session(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate", 'overrides={"unit-tests": {"devices": ["/dev/no-such"]}}')

    outcome = contain(crate, "unit-tests")

    assert outcome.code == 1
    assert "the device /dev/no-such is not there\n --> /dev/no-such\n" in outcome.err
    assert "podman run" not in outcome.err


def test_a_session_that_fails_fails_the_caller(tmp_path: Path) -> None:
    outcome = contain(small(tmp_path / "crate"), "fail")

    assert outcome.code == 1
    assert "error: false: exit status 1" in outcome.err
    assert "error: fail failed in the container: exit status 1" in outcome.err


@pytest.mark.parametrize("status", [3, 125, 127])  # the last two are also what engines say of themselves
def test_a_custom_tests_exit_status_is_that_of_the_caller(status: int, tmp_path: Path) -> None:
    crate = small(tmp_path / "crate", 'custom_tests="tests.json"')
    test = {"test_name": "custom", "command": f"exit {status}", "platform": [machine()]}
    crate.with_file("tests.json", json.dumps({"tests": [test]}))

    outcome = contain(crate, "custom")

    assert outcome.code == status, outcome.text
    assert f"error: custom failed in the container: exit status {status}" in outcome.err


def test_a_custom_test_gets_the_devices_and_rights_of_its_description(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate", 'custom_tests="tests.json", skip=["unit-tests", "coverage"]')
    tests = [
        {"test_name": "unittests-gnu", "command": "true", "docker_plugin": {"devices": ["/dev/null"]}},
        {"test_name": "coverage", "command": "true"},
        {"test_name": "more", "command": "true", "docker_plugin": {"privileged": True}},
    ]
    crate.with_file("tests.json", json.dumps({"tests": tests}))

    given = {
        name: shlex.split(contain(crate, "--dry-run", name).out)
        for name in ("unittests-gnu", "coverage", "more")
    }

    assert [name for name, words in given.items() if "--privileged" in words] == ["more"]
    assert [name for name, words in given.items() if "--device=/dev/null" in words] == ["unittests-gnu"]


def test_sessions_see_what_they_need_of_the_environment_and_no_secret(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    secrets = {"GITHUB_TOKEN": "secret-1", "BUILDKITE_REPO": "https://user:secret-2@example.org/x.git"}

    outcome = contain(crate, "show", env={**secrets, "RUST_BACKTRACE": "full", "BASE_BRANCH": "next"})

    assert outcome.code == 0, outcome.text
    assert "secret-" not in outcome.text
    assert "\nRUST_BACKTRACE=full\n" in outcome.out
    assert "\nBASE_BRANCH=next\n" in outcome.out
    assert f"\n{crate.directory}\n" in outcome.out


def test_a_dry_run_prints_a_command_that_can_be_pasted(tmp_path: Path) -> None:
    crate = small(tmp_path / "a crate: with, all 'of' \"it\"")

    outcome = contain(crate, "--dry-run", "show")

    assert outcome.code == 0, outcome.text
    (line,) = outcome.out.splitlines()
    assert not (crate.directory / "made").exists()
    pasted = run(["sh", "-c", line], cwd=tmp_path)
    assert pasted.code == 0, pasted.text
    assert f"\n{crate.directory}\nstart\n" in pasted.out
    assert (crate.directory / "made").exists()
    assert CLIENT_LABEL not in line  # whose client is gone at once, so that any call would end it


# Paths and repositories


@pytest.mark.parametrize("name", ["with space", "a:b", "a,b", 'a"b', "a'b", "a$b;c", "größe", "=x"])
def test_a_path_may_hold_any_character(name: str, tmp_path: Path) -> None:
    crate = small(tmp_path / name)

    outcome = contain(crate, "show")

    assert outcome.code == 0, outcome.text
    assert outcome.out.startswith(f"0\n{crate.directory}\nstart\n")
    assert (crate.directory / "made").stat().st_uid == os.getuid()


def test_a_linked_worktree_a_submodule_and_a_shared_clone_find_their_repository(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    crate.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    crate.git("clone", "--quiet", "--shared", str(crate.directory), str(tmp_path / "shared"))
    around = CrateBuilder(tmp_path / "around").with_file("README", "").with_git()
    around.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(crate.directory), "sub")

    for place in (tmp_path / "linked", tmp_path / "shared", around.directory / "sub"):
        outcome = contain(CrateBuilder(place), "show")
        assert outcome.code == 0, outcome.text
        assert f"\n{place}\nstart\n" in outcome.out


def test_the_users_linked_work_trees_outlive_gits_tidying(tmp_path: Path) -> None:
    """Git forgets those that it has not seen for three months; from inside it sees none."""
    crate = small(tmp_path / "crate")
    crate.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    noted = crate.directory / ".git" / "worktrees" / "linked"
    long_ago = time.time() - 120 * 24 * 60 * 60
    for path in (noted, *noted.iterdir()):
        os.utime(path, (long_ago, long_ago))

    outcome = contain(crate, "tidy")

    assert outcome.code == 0, outcome.text
    assert noted.is_dir()


def test_bench_keeps_both_builds_in_the_volume(tmp_path: Path) -> None:
    """Upstream's work tree, too, apart from that of the host's bench, which git notes in the same place."""
    crate = small(tmp_path / "crate")
    stub = '[package]\nname = "criterion"\nversion = "0.5.1"\n'  # the real one takes a minute to build
    crate.with_file("criterion/Cargo.toml", stub).with_file("criterion/src/lib.rs", "")
    more = '[dev-dependencies]\ncriterion.path = "criterion"\n[[bench]]\nname = "main"\nharness = false\n'
    crate.with_file("Cargo.toml", (crate.directory / "Cargo.toml").read_text() + more)
    crate.with_file("benches/main.rs", 'fn main() { println!("x: benchmark") }\n').commit("Add x")
    crate.with_file("src/lib.rs", (crate.directory / "src/lib.rs").read_text() + "// more\n")

    first, second = (contain(crate, "bench", "--", "--base", "HEAD") for _ in range(2))

    for outcome in (first, second):
        assert outcome.code == 0, outcome.text
        assert "both builds give the same program" in outcome.out
    assert first.err.count("Compiling sample") == 2
    assert "Compiling" not in second.err
    assert "/var/cache/rustvmm-sessions/target/" in crate.git("worktree", "list").splitlines()[1]


def test_a_member_of_a_workspace_sees_the_workspace(tmp_path: Path) -> None:
    crate = sample("workspace", tmp_path / "workspace")
    shutil.rmtree(crate.directory / ".git")

    outcome = contain(CrateBuilder(crate.directory / "ring"), "clippy", "--", "--list")

    assert outcome.code == 0, outcome.text
    assert "cargo clippy" in outcome.out


def test_a_read_only_work_tree_is_one_message(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    subprocess.run(["mount", "--bind", crate.directory, crate.directory], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", crate.directory], check=True)
        outcome = contain(crate, "show")
    finally:
        subprocess.run(["umount", crate.directory], check=True)

    assert outcome.code == 1
    assert f"the work tree is on a read-only file system\n --> {crate.directory}\n" in outcome.err
    assert "podman run" not in outcome.err


# How it ends


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_the_container_within_seconds(signum: signal.Signals, tmp_path: Path) -> None:
    with client(small(tmp_path / "crate")) as started:
        (_container,) = ours()
        asked = time.monotonic()
        started.send_signal(signum)
        started.communicate(timeout=HANGS)

        assert time.monotonic() - asked < SECONDS
        assert started.returncode == 128 + signum
    assert ours() == []


def test_the_time_limit_ends_the_container(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate", 'overrides={"container": {"timeout_minutes": 0.1}}')
    began = time.monotonic()

    outcome = contain(crate, "wait")

    assert outcome.code == 1
    assert "the container was stopped at the time limit timeout_minutes=0.1 after" in outcome.err
    assert 6 <= time.monotonic() - began < 6 + SECONDS
    assert ours() == []


def test_two_at_once_do_not_clash(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    with client(crate) as first:
        second = contain(crate, "show")

        assert second.code == 0, second.text
        assert len(ours()) == 1
        assert first.poll() is None


def test_what_a_killed_client_leaves_the_next_call_removes(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    with client(crate) as started:
        started.kill()
        started.wait(HANGS)
    left = ours()
    assert len(left) == 1

    outcome = contain(crate, "show")

    assert outcome.code == 0, outcome.text
    assert ours() == []


def test_a_client_is_known_by_its_number_and_its_start() -> None:
    own = engines.client()
    around, pid, started = own.split("/")
    with subprocess.Popen(["sleep", "0"]) as ended:
        ended.wait()

    assert not engines.is_gone(own)
    assert engines.is_gone(f"{around}/{ended.pid}/{started}")
    assert engines.is_gone(f"{around}/{pid}/{int(started) - 1}")
    assert not engines.is_gone(f"another machine/{ended.pid}/{started}")


# A shell


def on_terminal(
    crate: CrateBuilder, typed: str, *words: str, then: Callable[[int, int], object] | None = None
) -> tuple[int, str]:
    """Run ``nox -s container`` on a terminal of its own, type, and return how it ended and the screen.

    When the screen shows ``ready``, `then` is called with nox's process and the terminal.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(crate.directory)
        os.environ.update({"PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"})
        os.execv(sys.executable, [sys.executable, "-m", "nox", "-s", "container", "--", *words])
    screen = b""
    os.write(terminal, typed.encode())
    deadline = time.monotonic() + HANGS
    while True:
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"it hangs: {screen!r}")
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # the last process on it has ended
            break
        screen += data
        if then and b"ready\r\n" in screen:
            then(pid, terminal)
            then = None
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), screen.decode(errors="replace")


PODMAN = ("--engine=podman", *LOCAL)


def test_without_sessions_it_is_a_shell(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")

    code, screen = on_terminal(crate, "pwd; tty; nox -l | head -1; exit\n", *PODMAN)

    assert code == 0, screen
    assert f"{crate.directory}\r\n" in screen
    assert "/dev/pts/" in screen
    assert f"Sessions defined in {crate.directory}/noxfile.py:" in screen


def test_a_shell_that_fails_says_how(tmp_path: Path) -> None:
    code, screen = on_terminal(small(tmp_path / "crate"), "exit 7\n", *PODMAN)

    assert code == 7
    assert "the shell ended in the container: exit status 7" in screen


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_a_shell_within_seconds(signum: signal.Signals, tmp_path: Path) -> None:
    began = time.monotonic()

    code, screen = on_terminal(
        small(tmp_path / "crate"),
        "trap '' TERM; echo rea''dy; sleep 300\n",
        *PODMAN,
        then=lambda pid, _: os.kill(pid, signum),
    )

    assert "ready\r\n" in screen
    assert code == 128 + signum
    assert time.monotonic() - began < SECONDS
    assert ours() == []


def test_ctrl_c_in_a_shell_is_the_programs_in_it(tmp_path: Path) -> None:
    def press(_: int, terminal: int) -> None:
        time.sleep(1)  # until sleep sleeps
        os.write(terminal, b"\x03")
        os.write(terminal, b"exit 4\n")

    crate = small(tmp_path / "crate")
    code, screen = on_terminal(crate, "echo rea''dy; sleep 300; exit 3\n", *PODMAN, then=press)

    assert "the shell ended in the container: exit status 4" in screen
    assert code == 4


def test_a_shell_without_a_terminal_is_one_message(tmp_path: Path) -> None:
    outcome = contain(small(tmp_path / "crate"))

    assert outcome.code == 1
    assert "a shell needs a terminal\n" in outcome.err


def test_only_a_terminal_makes_it_interactive(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")

    outcome = contain(crate, "--dry-run")
    _, screen = on_terminal(crate, "", *PODMAN, "--dry-run")

    assert "--interactive" not in outcome.out
    assert " --interactive --tty " in screen


# What is wrong with the image or the engine


def test_an_image_that_is_missing_is_one_message(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")

    outcome = contain(crate, "--image", "localhost/no-such-image", "show")

    assert outcome.code == 1
    assert "the image localhost/no-such-image is not here\n --> podman, --pull=never\n" in outcome.err


def test_an_image_that_is_here_for_another_architecture_is_not_run(tmp_path: Path) -> None:
    """As after `reproduce` of another architecture's step, which fetches it under the same name."""
    crate = small(tmp_path / "crate")
    image = "localhost/rustvmm-sessions-other:1"
    (tmp_path / "files").mkdir()
    subprocess.run(["tar", "-cf", tmp_path / "image.tar", "-C", tmp_path / "files", "."], check=True)
    other = "arm64" if machine() == "x86_64" else "amd64"
    podman("import", "--quiet", f"--arch={other}", str(tmp_path / "image.tar"), image)

    outcome = contain(crate, "--image", image, "show")

    assert outcome.code == 1
    assert f"the image {image} is here for linux/{other}, and not for linux/" in outcome.err
    assert "podman run" not in outcome.err

    fetched = contain(crate, "--pull", "missing", "--image", image, "show")

    assert fetched.code == 1
    assert "podman run --rm --pull=always " in fetched.err
    assert f"the image {image} is not here for linux/" in fetched.err


def test_an_image_without_python_is_one_message(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    image = "localhost/rustvmm-sessions-empty:1"
    (tmp_path / "files").mkdir()
    subprocess.run(["tar", "-cf", tmp_path / "image.tar", "-C", tmp_path / "files", "."], check=True)
    podman("import", "--quiet", str(tmp_path / "image.tar"), image)

    outcome = contain(crate, "--image", image, "show")

    assert outcome.code == 1
    assert f"python3 cannot be started in the image\n --> {image}\n" in outcome.err


def test_a_work_tree_that_the_engine_may_not_see_is_one_message(tmp_path: Path) -> None:
    """As on FUSE without allow_root, or NFS with root_squash; docker's client exits with 126 then."""
    crate = small(tmp_path / "crate")
    said = f"docker: Error response from daemon: stat {crate.directory}: permission denied."
    fakes = Fakes(tmp_path)
    answer = json.dumps({"ServerVersion": "28.2.2"})
    help_line = "See 'docker run --help'."
    fakes.add(
        "path/docker",
        f"case $1 in info) echo {shlex.quote(answer)};; run) echo {shlex.quote(said)} >&2; "
        f"echo {shlex.quote(help_line)} >&2; exit 126;; esac",
    )

    outcome = crate.nox(
        *("-s", "container", "--", "--engine=docker", *LOCAL, "show"),
        env={"PATH": f"{tmp_path}/path:{os.environ['PATH']}"},
    )

    assert outcome.code == 1
    assert f"docker may not see {crate.directory}, as on network and FUSE file systems" in outcome.err
    assert f" --> {said}\n" in outcome.err


@pytest.mark.parametrize("session", ["container", "reproduce"])
def test_a_container_in_a_container_is_one_message(session: str, tmp_path: Path) -> None:
    outcome = contain(small(tmp_path / "crate"), session)

    assert outcome.code == 1
    assert f"a container has no engine for another one\n --> {session}\n" in outcome.err


def test_the_image_has_neither_pip_nor_nox() -> None:
    script = "import importlib.util as u; print([n for n in ('pip', 'ensurepip', 'nox') if u.find_spec(n)])"

    assert podman("run", "--rm", IMAGE, "python3", "-c", script) == "[]\n"


# The zipapp by itself


def test_the_zipapp_runs_coverage_in_an_image_without_pip(tmp_path: Path) -> None:
    crate = sample("uart", tmp_path / "uart")
    made = run([sys.executable, "-m", "rustvmm_sessions.cli", "zipapp"], cwd=tmp_path)
    assert made.code == 0, made.text

    said = podman(
        *("run", "--rm", f"--volume={tmp_path}:/x", "--workdir=/x/uart", "--network=none", IMAGE),
        *("python3", f"/x/{ZIPAPP}", "-s", "coverage"),
    )

    assert "measured: 470/507 lines, 92.70 %" in said
    assert not (crate.directory / ".nox").exists() or not any((crate.directory / ".nox").glob("*_script*"))


# Other users


def give(directory: Path, user: int) -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def as_somebody(
    directory: Path, zipapp: Path, *words: str, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run ``nox -s container`` as another user, from the zipapp: the library itself is root's."""
    return subprocess.run(
        ["/usr/bin/python3", zipapp, "-s", "container", "--", *words],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1", **env},
        user=SOMEBODY,
        group=SOMEBODY,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_rootless_podman_leaves_files_that_are_the_callers() -> None:
    with public_directory() as directory:
        home = directory / "home"
        run([sys.executable, "-m", "rustvmm_sessions.cli", "zipapp"], cwd=directory)
        small(home / "crate")
        (home / "run").mkdir()
        settings = Path(CONTAINERS_CONF).read_text()
        (home / "containers.conf").write_text(settings[: settings.index("default_ulimits")])
        give(home, SOMEBODY)
        names = {"CONTAINERS_CONF": "containers.conf", "XDG_RUNTIME_DIR": "run", "HOME": ""}
        env = {name: str(home / place) for name, place in names.items()}
        try:
            image = rootless_image(directory, env)
            done = as_somebody(
                home / "crate", directory / ZIPAPP, "--engine=podman", f"--image={image}", "show", env=env
            )
        finally:
            podman("unshare", "rm", "-rf", f"{home}/.local", env=env, user=SOMEBODY)
            os.kill(int((home / "run" / "libpod" / "tmp" / "pause.pid").read_text()), signal.SIGKILL)

        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith(f"0\n{home}/crate\n")
        assert (home / "crate" / "made").stat().st_uid == SOMEBODY


def rootless_image(directory: Path, env: dict[str, str]) -> str:
    """Give a user without a range of other users an image with python3; all of it is root's."""
    left_out = (
        *("./usr/lib/llvm-*", "./usr/lib/x86_64-linux-gnu/lib[LMr]*", "./usr/lib/gcc", "./usr/lib/rustlib"),
        *("./usr/share", "./usr/lib/git-core", "./usr/bin/*-linux-gnu-*", "./var"),
    )
    tar = directory / "image.tar"
    options = ["--one-file-system", "--owner=0", "--group=0", *(f"--exclude={path}" for path in left_out)]
    mount = f"--mount=type=bind,source={directory},target=/mnt"
    podman("run", "--rm", mount, IMAGE, "tar", *options, "-C", "/", "-cf", "/mnt/image.tar", ".")
    image = "localhost/plain:1"
    podman("import", "--quiet", str(tar), image, env=env, user=SOMEBODY)
    tar.unlink()
    return image


def test_a_user_of_docker_gets_files_that_are_the_callers() -> None:
    """The real docker client, whose engine runs as root; a toolchain in root's home is reachable."""
    with public_directory() as directory, docker_service(directory) as host:
        home = directory / "home"
        run([sys.executable, "-m", "rustvmm_sessions.cli", "zipapp"], cwd=directory)
        small(home / "crate")
        give(home, SOMEBODY)
        env = {
            "HOME": str(home),
            "DOCKER_HOST": host,
            "PATH": f"{docker_client().parent}:{os.environ['PATH']}",
        }
        words = ("--engine=docker", *LOCAL, "show", "unit-tests")

        done = as_somebody(home / "crate", directory / ZIPAPP, *words, env=env)

        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith(f"{SOMEBODY}\n{home}/crate\nstart\n")
        assert "test result: ok. 1 passed" in done.stdout
        if os.path.exists("/dev/kvm") and Path("/dev/kvm").stat().st_mode & 0o006 == 0:
            assert "the device /dev/kvm may not be opened by this user; the container has none" in done.stderr
        owners = {path.stat().st_uid for path in (home / "crate").rglob("*")}
        assert owners == {SOMEBODY}


def test_a_socket_that_is_not_for_this_user_is_one_message() -> None:
    with public_directory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "docker.sock"))
        (directory / "docker.sock").chmod(0o600)
        run([sys.executable, "-m", "rustvmm_sessions.cli", "zipapp"], cwd=directory)
        small(directory / "crate")
        give(directory / "crate", SOMEBODY)
        path = f"{docker_client().parent}:{os.environ['PATH']}"
        env = {"HOME": str(directory), "DOCKER_HOST": f"unix://{directory}/docker.sock", "PATH": path}

        done = as_somebody(directory / "crate", directory / ZIPAPP, "--engine=docker", "show", env=env)

    assert done.returncode == 1
    assert "docker may not be used by this user\n --> permission denied" in done.stderr


def test_the_docker_client_is_stopped_as_well(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")
    with docker_service(tmp_path) as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", host)
        patch.setenv("PATH", f"{docker_client().parent}:{os.environ['PATH']}")
        with client(crate, "--engine=docker") as started:
            asked = time.monotonic()
            started.send_signal(signal.SIGTERM)
            started.communicate(timeout=HANGS)
            assert time.monotonic() - asked < SECONDS
        assert eventually(lambda: ours() == [])


def test_the_docker_client_takes_the_command_line(tmp_path: Path) -> None:
    """Its parser comes before the connection: without an engine, only that is what it complains about."""
    crate = small(tmp_path / 'a, b: "c"')
    path = f"{docker_client().parent}:{os.environ['PATH']}"
    env: dict[str, str | None] = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PATH": path}
    outcome = crate.nox("-s", "container", "--", "--engine=docker", "--dry-run", "unit-tests", env=env)
    assert outcome.code == 0, outcome.text
    words = shlex.split(outcome.out)

    taken = run([word for word in words if not word.startswith("--device=")], cwd=tmp_path, env=env)
    whole = run(words, cwd=tmp_path, env=env)  # for a device, the client asks the engine first
    refused = run([*words[:2], "--no-such-flag", *words[2:]], cwd=tmp_path, env=env)

    assert "Cannot connect to the Docker daemon" in taken.err
    assert "Cannot connect to the Docker daemon" in whole.err or "unknown server OS" in whole.err
    assert "unknown flag: --no-such-flag" in refused.err


def test_labels_name_the_client(tmp_path: Path) -> None:
    with client(small(tmp_path / "crate")) as started:
        (container,) = ours()
        labels = json.loads(podman("inspect", "--format={{json .Config.Labels}}", container))
        assert labels[CLIENT_LABEL].split("/")[1] == str(started.pid)
