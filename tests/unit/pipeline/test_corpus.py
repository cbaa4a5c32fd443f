"""What rust-vmm-ci's generator gives for real and made-up crates; tests/data/pipeline-corpus/README.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rustvmm_sessions.cli import main
from rustvmm_sessions.documents import read_yaml
from rustvmm_sessions.pipeline import variables
from tests.crates import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

CORPUS = REPOSITORY / "tests" / "data" / "pipeline-corpus"
CASES = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())
VARIABLES = (
    variables.X86_TAGS,
    variables.AARCH64_TAGS,
    variables.DOCKER,
    variables.SKIP,
    variables.TIMEOUTS,
    variables.HYPERVISOR,
)


def comparable(pipeline: Any, ignored: list[str]) -> str:
    """Return the pipeline as text that differs where a value or its type does; 1 and True are not one."""
    steps = [{key: value for key, value in step.items() if key not in ignored} for step in pipeline["steps"]]
    return json.dumps(steps, indent=1, sort_keys=True)


@pytest.mark.parametrize("name", CASES)
def test_case(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = CORPUS / name
    case = json.loads((folder / "case.json").read_text())
    expected = json.loads((folder / "expected.json").read_text())
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in case["env"].items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(folder / "repo")
    file = tmp_path / "pipeline.yml"
    try:
        code = main(["pipeline", *case["argv"]])
        written = main(["pipeline", *case["argv"], f"--output={file}"])
    except SystemExit as stop:  # argparse's own errors
        code = written = int(stop.code or 0)
    shown = capsys.readouterr()

    if "error" in expected:
        assert (code, written) == (2, 2)
        assert [part for part in expected["error"] if part not in shown.err] == []
        assert shown.out == ""
        assert not file.exists()
    else:
        assert (code, written) == (0, 0), shown.err
        ignored = case.get("ignore", [])
        assert comparable(yaml.safe_load(shown.out), ignored) == comparable(expected, ignored)
        assert comparable(read_yaml(shown.out, name).data, ignored) == comparable(expected, ignored)
        assert file.read_text() == shown.out


def test_the_corpus_is_there() -> None:
    assert len(CASES) == 75
