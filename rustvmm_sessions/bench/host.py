"""The machine that measures: what it is, and what makes its figures worse than they could be."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

from rustvmm_sessions.bench.model import Host
from rustvmm_sessions.rust.cargo import machine
from rustvmm_sessions.wording import counted

_SYS = Path("/sys")


def examine(system: Path = _SYS) -> Host:
    """Return the machine's facts, and the processor that benchmarks are pinned to.

    It is the last one this process may use: the first ones serve most interrupts.

    Args:
        system: Where the kernel shows devices.
    """
    processor, doubts = _pinnable()
    if processor is not None:
        governor = _read(system / f"devices/system/cpu/cpu{processor}/cpufreq/scaling_governor")
        if governor not in ("", "performance"):
            doubts.append(f"the frequency governor of processor {processor} is {governor!r}")
    for supply in sorted(system.glob("class/power_supply/*")):
        if _read(supply / "type") == "Mains" and _read(supply / "online") == "0":
            doubts.append("the machine runs on battery, where it saves power")
    processors = os.cpu_count() or 1
    load = os.getloadavg()[0]
    if load > processors:
        there = counted(processors, "processor")
        doubts.append(f"the machine is busy: {load:.1f} processes want to run on {there}")
    return Host(
        machine=machine(),
        model=_model(),
        kernel=platform.release(),
        processors=processors,
        processor=processor,
        load=round(load, 2),
        doubts=tuple(doubts),
    )


def _pinnable() -> tuple[int | None, list[str]]:
    """Return the processor to pin to, None with the reason where the system refuses."""
    try:
        before = os.sched_getaffinity(0)
        processor = max(before)
        os.sched_setaffinity(0, {processor})
        os.sched_setaffinity(0, before)
    except AttributeError:
        return None, [f"{platform.system()} pins no program to a processor"]
    except OSError as error:
        return None, [f"benchmarks are not pinned to a processor: {error.strerror}"]
    return processor, []


def _model() -> str:
    lines = _read(Path("/proc/cpuinfo")).splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    arm = facts.get("CPU part") and f"ARM implementer {facts.get('CPU implementer')} part {facts['CPU part']}"
    return facts.get("model name") or arm or platform.processor() or machine()


def _read(path: Path) -> str:
    """Return what a file of the kernel says, nothing where there is none."""
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""
