"""The one place where a command of the crate's goes through a shell.

The commands of rust-vmm-ci's description files and of a pipeline file are shell by contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.process import run

if TYPE_CHECKING:
    from rustvmm_sessions.cargo import Cargo
    from rustvmm_sessions.process import Finished


def run_shell(shell: str, script: str, cargo: Cargo, timeout: float) -> Finished:
    """Run a script as Buildkite's agent does.

    Args:
        shell: ``sh`` for what runs in a container, as the docker plugin has it; else ``bash``.
        script: What it runs.
        cargo: Cargo in the crate's directory, with the session's variables.
        timeout: Seconds.
    """
    return run([shell, "-e", "-c", script], cwd=cargo.directory, env=cargo.env, timeout=timeout)
