"""The machine that measures, as its kernel describes it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import pytest

from rustvmm_sessions.bench import host
from rustvmm_sessions.process import run

if TYPE_CHECKING:
    from pathlib import Path


def test_this_machine_has_a_processor_to_pin_to_and_stays_unpinned() -> None:
    before = os.sched_getaffinity(0)
    facts = host.examine()
    assert facts.processor == max(before)
    assert os.sched_getaffinity(0) == before
    assert facts.model
    assert facts.processors >= 1


@pytest.mark.parametrize("processor", sorted(os.sched_getaffinity(0)))
def test_a_program_runs_on_the_processor_it_is_given(processor: int) -> None:
    before = os.sched_getaffinity(0)
    done = run(
        ["grep", "Cpus_allowed_list", "/proc/self/status"], read_stdout=True, echo=False, processor=processor
    )
    assert done.stdout.split() == ["Cpus_allowed_list:", str(processor)]
    assert os.sched_getaffinity(0) == before


def test_saved_power_is_said(tmp_path: Path) -> None:
    processor = max(os.sched_getaffinity(0))
    governor = tmp_path / f"devices/system/cpu/cpu{processor}/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("powersave\n")
    supply = tmp_path / "class/power_supply/AC"
    supply.mkdir(parents=True)
    (supply / "type").write_text("Mains\n")
    (supply / "online").write_text("0\n")
    doubts = host.examine(tmp_path).doubts
    assert f"the frequency governor of processor {processor} is 'powersave'" in doubts
    assert "the machine runs on battery, where it saves power" in doubts
    governor.write_text("performance\n")
    (supply / "online").write_text("1\n")
    assert not any("governor" in doubt or "battery" in doubt for doubt in host.examine(tmp_path).doubts)


def test_a_refused_pin_is_said_and_measured_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    facts = host.examine()
    assert facts.processor is None
    assert "benchmarks are not pinned to a processor: Operation not permitted" in facts.doubts


def test_a_busy_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0, 1.0, 1.0))
    assert any("the machine is busy: 100.0 processes" in doubt for doubt in host.examine().doubts)
