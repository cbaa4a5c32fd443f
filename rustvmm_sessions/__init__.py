"""Nox sessions for Rust crates that live near a hypervisor.

A crate's ``noxfile.py`` calls `register` and gets the sessions; everything else is an
implementation detail, save what the documentation names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    from rustvmm_sessions.sessions import Crate, register

__version__ = "1.0.0"
__all__ = ["Crate", "UserError", "__version__", "register"]


def __getattr__(name: str) -> Any:
    """Import `register` and `Crate` when they are asked for: nox is slow to import."""
    if name in ("register", "Crate"):
        from rustvmm_sessions import sessions

        return getattr(sessions, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
