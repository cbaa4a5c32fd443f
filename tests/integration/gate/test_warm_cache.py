"""What an agent has built is used: in its own target directory, by a wrapper of rustc such as sccache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crates import new_crate

if TYPE_CHECKING:
    from pathlib import Path

WRAPPER = """\
#!/bin/sh
previous=
for word in "$@"; do
    [ "$previous" = --crate-name ] && [ "$word" != ___ ] && echo "$word" >> "{record}"
    previous=$word
done
exec "$@"
"""


@pytest.mark.parametrize(
    ("session", "configured"),
    [
        *((session, False) for session in ("clippy", "build-gnu", "doc", "unit-tests", "coverage")),
        *((session, True) for session in ("unit-tests", "coverage")),
    ],
)
def test_the_wrapper_and_the_target_directory_of_an_agent(
    tmp_path: Path, session: str, *, configured: bool
) -> None:
    crate = new_crate(tmp_path / "crate").with_record("88.9")
    needs = '[dependencies]\nbelow = { path = "below" }\n'
    crate.with_file("Cargo.toml", f"{(crate.directory / 'Cargo.toml').read_text()}\n{needs}")
    crate.with_file("below/Cargo.toml", '[package]\nname = "below"\nversion = "1.0.0"\nedition = "2021"\n')
    crate.with_file("below/src/lib.rs", "//! Nothing.\n").with_git()
    record, wrapper, target = (tmp_path / name for name in ("record", "wrapper", "agent's target"))
    wrapper.write_text(WRAPPER.format(record=record))
    wrapper.chmod(0o755)
    env: dict[str, str | None] = {"RUSTC_WRAPPER": str(wrapper), "CARGO_TARGET_DIR": str(target)}
    if configured:
        env = dict.fromkeys(env)
        crate.with_file(
            ".cargo/config.toml", f'[build]\nrustc-wrapper = "{wrapper}"\ntarget-dir = "{target}"\n'
        )
    wants = ("-s", session, *(["--", "--scope=crate"] if session == "coverage" else []))

    outcome = crate.nox(*wants, env=env)

    assert outcome.code == 0, outcome.text
    assert "below" in record.read_text().split()
    assert target.is_dir()
    assert not (crate.directory / "target").exists()
    record.write_text("")
    outcome = crate.nox(*wants, env=env)
    assert outcome.code == 0, outcome.text
    assert record.read_text() == ""
