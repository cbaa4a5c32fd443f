"""The table of ``--explain``: each step, where it comes from, and why it is there or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.pipeline.included import commands
from rustvmm_sessions.wording import columns, counted

if TYPE_CHECKING:
    from rustvmm_sessions.pipeline.model import Pipeline, Placement

ANY = "any"


def explain(pipeline: Pipeline, most: int | None = None) -> str:
    """Return the table: a row for each template and crate, a column for each platform.

    Args:
        pipeline: What is explained.
        most: The columns of the terminal; None for no limit.
    """
    reasons: list[str] = []
    rows: dict[tuple[int, str], dict[str, Placement]] = {}
    for placement in pipeline.placements:
        rows.setdefault((id(placement.template), placement.crate), {})[placement.platform] = placement
    platforms = list(dict.fromkeys((*pipeline.platforms.names, *(p.platform for p in pipeline.placements))))
    shown = [platform for platform in platforms if platform]
    if any("" in row for row in rows.values()):
        shown.append("")
    table = [("step", "from", *(platform or ANY for platform in shown))]
    for (_, crate), row in rows.items():
        template = next(iter(row.values())).template
        name = f"{crate}: {template.name}" if crate else template.name
        name += f" {template.share}" if template.share else ""
        cells = (_cell(platform, row, reasons) for platform in shown)
        origin = template.place().partition(", test ")[0] if template.place else template.source
        table.append((name, origin, *cells))
    for step in pipeline.included:
        inner = [
            f"{step.label}: {command.label}" for command in commands([step]) if command.label != step.label
        ]
        table += [(label, step.place(), "included") for label in (step.label or "(no label)", *inner)]
    steps = counted(len(pipeline.steps) + len(pipeline.included), "step")
    summary = f"{steps}; platforms {', '.join(pipeline.platforms.names)}, from {pipeline.platforms.source}"
    notes = [f"({number}) {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*columns(table, most=most), "", *notes, *([""] if notes else []), summary])


def _cell(platform: str, row: dict[str, Placement], reasons: list[str]) -> str:
    """Return what a cell says; a reason is a number, that of its place in `reasons`."""
    placement = row.get(platform)
    if placement is None and ("" in row or not platform):
        return "-"
    if placement is None or placement.step is None:
        answer, reason = "no", placement.reason if placement else "not for this platform"
    elif skip := placement.step.extra.get("skip"):
        answer, reason = "skipped", str(skip)
    else:
        return "yes"
    if reason not in reasons:
        reasons.append(reason)
    return f"{answer} ({reasons.index(reason) + 1})"
