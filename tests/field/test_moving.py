"""Published crates move in by one command, lose nothing, and work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.crates import run
from tests.field.published import published

if TYPE_CHECKING:
    from pathlib import Path

INIT = [sys.executable, "-m", "rustvmm_sessions.cli", "init", "--yes", "--publish", "--buildkite", "--github"]
PYZ = ".buildkite/rustvmm-sessions.pyz"
COMMAND = f'pipeline_command="python3 {PYZ}"'
PIPELINES = [".buildkite/pipeline.yml", ".github/workflows/gate.yml", PYZ, f"{PYZ}.sha256"]


@pytest.mark.parametrize(
    ("name", "options", "written", "custom"),
    [
        (
            "event-manager",
            f"\n    {COMMAND},\n"
            '    overrides={"bench": {"platforms": ["x86_64", "aarch64"]}},\n'
            '    custom_tests=".buildkite/custom-tests.json",\n',
            ["noxfile.py"],
            [
                "build-gnu-remote_endpoint",
                "build-musl-remote_endpoint",
                "check-warnings-remote_endpoint",
            ],
        ),
        (
            "seccompiler",
            f'\n    {COMMAND},\n    custom_tests=".buildkite/custom-tests.json",\n',
            [".github/workflows/publish.yml", "noxfile.py"],
            ["build-gnu-json", "build-musl-json", "validate-syscall-tables"],
        ),
        ("vmm-sys-util", COMMAND, ["noxfile.py"], []),
    ],
)
def test_a_published_crate_moves_in(
    tmp_path: Path, name: str, options: str, written: list[str], custom: list[str]
) -> None:
    crate = published(name, tmp_path / name)
    crate.git("rm", "--quiet", "noxfile.py")
    crate.git("commit", "--quiet", "--signoff", "--message=As published")
    crate.git("update-ref", "refs/remotes/origin/main", "HEAD~1")

    outcome = run(INIT, cwd=crate.directory)

    assert outcome.code == 0, outcome.text
    listed = crate.git("status", "--porcelain", "--untracked-files=all").splitlines()
    assert listed == [f"?? {file}" for file in sorted([*written, *PIPELINES])]
    assert f"register({options})" in (crate.directory / "noxfile.py").read_text()
    assert "git rm --force -- rust-vmm-ci" in outcome.out
    assert run(INIT, cwd=crate.directory).out.rpartition("Left to do")[0].endswith("Nothing to write.\n")
    sessions = [line.split()[1] for line in crate.nox("-l").out.splitlines() if "[gate,custom]" in line]
    assert sessions == custom
    pipeline = crate.nox("-s", "pipeline", "--", "--format=github", f"--check={PIPELINES[1]}")
    assert pipeline.code == 0, pipeline.text
    checked = crate.nox("-s", "fmt", "commit-format")
    assert checked.code == 0, checked.text
    assert "1 commit message as it should be." in checked.out
    assert crate.git("status", "--porcelain", "--untracked-files=all").splitlines() == listed
