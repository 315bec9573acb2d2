"""Everything that the thesis trained, in an order that gives results early, and a report that grows with it.

``python -m isic_utils thesis`` (or ``make thesis``, in the profile ``full``) trains run after run and writes
``report.html`` beside them after each one. It can be stopped at any moment; the same command goes on.
"""

import base64
import html
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure

from isic_utils import figures, models, processes, protocols, published, results, runs
from isic_utils.errors import IsicError
from isic_utils.pictures import Pictures
from isic_utils.profile import Profile
from isic_utils.runs import Run

CHEAP_FIRST = ["alexnet", "efficientnet_lite0", "residual", "resnet101", "wide_resnet", "vgg16"]  # docs/plan.md
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; color: #222; }
table { border-collapse: collapse; } th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
tbody th { text-align: left; font-weight: normal; } .wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
.note { background: #fff4d6; padding: .5rem 1rem; }
"""


@dataclass(frozen=True)
class Step:
    """One run of the thesis: a model by a protocol, for cross-validation in a stage from 2 on (1 is the standard's)."""

    protocol: str
    model: str
    stage: int = 1


@dataclass
class Work:
    """What there is to train with: the table and the decoded pictures of each protocol, decoded when first needed."""

    settings: Profile
    by: str
    ready: dict[str, tuple[pd.DataFrame, Pictures]] = field(default_factory=dict)

    def prepared(self, protocol: str) -> tuple[pd.DataFrame, Pictures]:
        """The table and the pictures of a protocol."""
        kind = "segmentation" if protocol == "segmentation" else "standard"
        if kind not in self.ready:
            self.ready[kind] = protocols.prepare(kind, self.settings)
        return self.ready[kind]

    def arguments(self, step: Step) -> dict:
        """What `protocols.train` and `protocols.find` are to be told for a step."""
        table, photos = self.prepared(step.protocol)
        by = "picture" if step.protocol == "segmentation" else self.by
        return dict(
            protocol=step.protocol, model=step.model, table=table, photos=photos, settings=self.settings
        ) | dict(by=by, stage=step.stage)


def steps() -> list[Step]:
    """All runs, cheap ones first: the standard protocol, the masks, the balanced protocol, then the other stages."""
    order = [Step("standard", model) for model in CHEAP_FIRST]
    order += [Step("segmentation", model) for model in reversed(models.SEGMENTERS)]
    order += [Step("balanced", model) for model in CHEAP_FIRST]
    return order + [Step("cross-validation", model, stage) for model in CHEAP_FIRST for stage in protocols.STAGES[1:]]


def run(settings: Profile, by: str = "picture") -> tuple[Path, dict[Step, str]]:
    """Train every step that is not finished, and rewrite the report after each.

    A step that fails (`IsicError`, for instance because a class has no picture) is noted, and the others go on.
    Returns the report's file and what failed, with the reason.
    """
    work, failed = Work(settings, by), {}
    todo = steps()
    for number, step in enumerate(todo, start=1):
        title = f"{step.protocol}, {models.TITLES[step.model]}"
        title += f", stage {step.stage}" if step.protocol == "cross-validation" else ""
        try:
            done = protocols.train(**work.arguments(step))
            said = ", ".join(f"{name} {value:.3f}" for name, value in results.headline(done).drop("epoch").items())
        except IsicError as error:
            failed[step] = said = str(error)
        if processes.is_main():
            print(f"[{number}/{len(todo)}] {title}: {said}", flush=True)
            write_report(work, failed)
    return report_file(settings), failed


def report_file(settings: Profile) -> Path:
    """Where the report lies: beside the runs that it is made of."""
    return settings.runs / f"{settings.data_name}-{settings.name}" / "report.html"


def finished(work: Work, failed: dict[Step, str]) -> Iterator[tuple[Step, Run]]:
    """The steps whose runs are finished."""
    for step in steps():
        if step not in failed:
            try:
                found = protocols.find(**work.arguments(step))
            except IsicError:
                continue  # `run` says why
            if found.finished:
                yield step, found


def write_report(work: Work, failed: dict[Step, str]) -> None:
    """Write the report: all tables beside the published ones, as far as the runs have come; whole or not at all."""
    done = dict(finished(work, failed))
    by_protocol = {
        name: {step.model: found for step, found in done.items() if step.protocol == name}
        for name in ("standard", "balanced", "segmentation")
    }
    crossed = {model: {1: found} for model, found in by_protocol["standard"].items()}
    for step, found in done.items():
        if step.protocol == "cross-validation":
            crossed.setdefault(step.model, {})[step.stage] = found
    parts = [
        ("Table 6.1: standard classification", results.standard(by_protocol["standard"])),
        ("The same as a picture", bars(by_protocol["standard"])),
    ]
    if by_protocol["balanced"]:
        table, _ = work.prepared("balanced")
        parts.append(
            ("Table 6.2: balanced classification, times 5/8", results.balanced(by_protocol["balanced"], table))
        )
    if any(len(stages) == 5 for stages in crossed.values()):
        table, _ = work.prepared("standard")
        parts.append(("Table 6.3: accuracy and its 95 % interval", results.intervals(crossed, table)))
    if crossed:
        parts.append(("Table 6.4: BMA in each stage", results.cross_validation(crossed)))
        parts.append(("Table 6.5: beside the leaderboard", results.leaderboard(crossed)))
    if by_protocol["segmentation"]:
        parts.append(("Table 6.6: segmentation", results.segmentation(by_protocol["segmentation"])))
    page = render(work, parts, len(done), failed)
    runs.write(report_file(work.settings), lambda partial: partial.write_text(page, encoding="utf-8"))


NOTES = {
    "Table 6.2": "The test part is balanced, so accuracy and BMA are equal. 5/8 is the thesis's way back to eight "
    "classes; “exact” asks the original labels (lesson 05).",
    "Table 6.3": "Ours over lesions (lesson 06). VGG16's published accuracy is its BMA by mistake.",
    "Table 6.5": "Not the same work: ours are cross-validated on public pictures, the leaderboard is a hidden test "
    "part with a ninth class.",
    "Table 6.6": "Not the same work: the thesis gives a plain mean, the leaderboard counts pictures below 0.65 as 0.",
}


def render(work: Work, parts: list[tuple[str, pd.DataFrame | Figure]], done: int, failed: dict[Step, str]) -> str:
    """The page as HTML. parts: a heading and its table or figure."""
    settings = work.settings
    data = settings.data_name + (", synthetic: nothing here is medical" if settings.synthetic else "")
    about = (
        f"{done} of {len(steps())} runs are finished. Measured on: {data}; split by {work.by}; "
        f"profile {settings.name}, {settings.picture_size}×{settings.picture_size} pixels, masks "
        f"{'×'.join(map(str, settings.segmentation_size))}. Figures of the checkpoint with the best validation BMA or "
        f"Jaccard index. PyTorch {torch.__version__}, {datetime.now():%Y-%m-%d %H:%M}."
    )
    body = [f"<p>{html.escape(about)}</p>"]
    body.append('<p class="note">Not medical advice, and no medical device.</p>')
    for title, content in parts:
        body.append(f"<h2>{html.escape(title)}</h2>")
        note = next((text for start, text in NOTES.items() if title.startswith(start)), None)
        body += [f"<p>{html.escape(note)}</p>"] if note else []
        body.append(as_html(content))
    if failed:
        body.append("<h2>What failed</h2><ul>")
        body += [f"<li>{step.protocol}, {step.model}: {html.escape(reason)}</li>" for step, reason in failed.items()]
        body.append("</ul>")
    heading = f"The thesis, reproduced: {html.escape(settings.data_name)}, {settings.name}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><h1>{heading}</h1>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def as_html(content: pd.DataFrame | Figure) -> str:
    """A table, or a figure as an embedded picture."""
    if isinstance(content, pd.DataFrame):
        text = content.map(lambda value: value if isinstance(value, str) else number(value))
        return f'<div class="wide">{text.to_html(border=0)}</div>'
    stream = io.BytesIO()
    content.savefig(stream, format="png", dpi=110, bbox_inches="tight")
    plt.close(content)
    picture = base64.b64encode(stream.getvalue()).decode()
    alt = "Bars of accuracy and BMA for each network, the thesis's beside ours."
    return f'<img alt="{alt}" src="data:image/png;base64,{picture}">'


def number(value: float | None) -> str:
    """A figure with three digits, a count without, and nothing for a gap."""
    if value is None or pd.isna(value):
        return ""
    return f"{int(value):,}" if float(value).is_integer() and value > 1 else f"{value:.3f}"


def bars(found: dict[str, Run]) -> Figure:
    """Accuracy and BMA of the standard protocol, the thesis's beside ours."""
    table = results.standard(found)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
    for axis, score in zip(axes, ("accuracy", "BMA"), strict=True):
        for shift, source, colour in ((-0.2, results.THESIS, figures.SKY), (0.2, results.HERE, figures.RED)):
            if (source, score) in table:
                places = [place + shift for place in range(len(table))]
                axis.bar(places, table[source, score].astype(float), 0.4, color=colour, label=source)
        axis.set_xticks(range(len(table)), [title.replace(" ", "\n", 1) for title in table.index], fontsize=8)
        axis.set(title=score, ylim=(0, 1))
    axes[0].axhline(
        published.CLASS_COUNTS["NV"] / published.CLASS_COUNTS.sum(), color="0.5", linestyle="--", label="always NV"
    )
    axes[1].axhline(1 / 8, color="0.5", linestyle="--")
    axes[0].legend(fontsize=8)
    return figure
