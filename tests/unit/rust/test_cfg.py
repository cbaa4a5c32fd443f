"""Whether an expression of cargo's configuration holds for a target."""

from __future__ import annotations

import pytest

from rustvmm_sessions.rust import cfg

FACTS = ("debug_assertions", 'panic="unwind"', 'target_arch="x86_64"', 'target_os="linux"', "unix")


@pytest.mark.parametrize(
    "expression",
    [
        "cfg(unix)",
        "cfg(true)",
        'cfg(target_os = "linux")',
        'cfg(target_arch="x86_64")',
        "cfg(not(windows))",
        "cfg(all())",
        "cfg(all(unix, not(any())))",
        'cfg(any(windows, all(unix, target_arch = "x86_64",), ))',
        'cfg(not(any(target_os = "macos", target_os = "windows")))',
    ],
)
def test_what_holds(expression: str) -> None:
    assert cfg.holds(expression, FACTS)


@pytest.mark.parametrize(
    "expression",
    [
        "cfg(windows)",
        "cfg(false)",
        'cfg(target_os = "emscripten")',
        'cfg(unix = "linux")',
        "cfg(any())",
        "cfg(not(unix))",
        "cfg(all(unix, any(), unix))",
        'cfg(all(unix, target_arch = "wasm32"))',
        'cfg(not(any(target_os = "macos", unix)))',
        "cfg(",
        "cfg(all(unix)",
        "cfg(some(unix))",
        "cfg(unix =",
        "",
    ],
)
def test_what_does_not_hold_or_is_malformed(expression: str) -> None:
    assert not cfg.holds(expression, FACTS)
