"""The table of ``--explain``: each step, where it comes from, and why it is there or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.pipeline.included import commands
from rustvmm_sessions.wording import columns, counted

if TYPE_CHECKING:
    from rustvmm_sessions.pipeline.model import Pipeline, Placement

ANY = "any machine"


def explain(pipeline: Pipeline) -> str:
    """Return the table: a row for each template and crate, a column for each platform."""
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
        cells = (_cell(platform, row) for platform in shown)
        origin = template.place().partition(", test ")[0] if template.place else template.source
        table.append((name, origin, *cells))
    for step in pipeline.included:
        inner = [
            f"{step.label}: {command.label}" for command in commands([step]) if command.label != step.label
        ]
        table += [
            (label, step.place(), "in Buildkite's words") for label in (step.label or "(no label)", *inner)
        ]
    steps = counted(len(pipeline.steps) + len(pipeline.included), "step")
    summary = f"{steps}; platforms {', '.join(pipeline.platforms.names)}, from {pipeline.platforms.source}"
    return "\n".join([*columns(table), "", summary])


def _cell(platform: str, row: dict[str, Placement]) -> str:
    placement = row.get(platform)
    if placement is None:
        if "" in row:
            return "-"
        return "no: not for this platform" if platform else "-"
    if placement.step is None:
        return f"no: {placement.reason}"
    skip = placement.step.extra.get("skip")
    return f"skipped: {skip}" if skip else "yes"
