"""Write docs/dial.html and docs/threshold.html, the pages with sliders of lessons 05 and 09, from committed results.

    python tools/dial_page.py

Each page is one file that fetches nothing: the template, the style and the script are in tools/pages, the numbers in
benchmarks/results (dial.csv, threshold.csv, written by the benchmarks of that name). The images are those of the
dial's pools, which are drawn first unless they are there.
"""

import base64
import html
import io
import json
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from isic_course import dial
from isic_course.figures import lesson_05
from isic_utils import plots
from isic_utils.archive import CODES

PROJECT = Path(__file__).resolve().parent.parent
TEMPLATES, RESULTS = PROJECT / "tools" / "pages", PROJECT / "benchmarks" / "results"
PREVALENCES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)  # and that of the test set
STILL_AT = 0.05  # the prevalence of the figure that stands for the page where no script runs
SHADES = 11


def main() -> int:
    mpl.use("agg")
    plots.use_style()
    counts, points = (pd.read_csv(RESULTS / f"{name}.csv") for name in ("dial", "threshold"))
    images = {f"{overlap:g}": thumbnails(overlap) for overlap in sorted(counts["overlap"].unique())}
    write("dial", dial_data(counts) | {"images": images}, lesson_05.curves(scores(counts)))
    write("threshold", threshold_data(points), still(points))
    return 0


def write(name: str, data: dict, figure: tuple[Figure, str]) -> None:
    """Put the data, the style, the script and the still figure (with its alternative text) into a template."""
    page = (TEMPLATES / f"{name}.html").read_text(encoding="utf-8")
    parts = {
        "/* style */": (TEMPLATES / "page.css").read_text(encoding="utf-8").strip(),
        "/* script */": (TEMPLATES / "page.js").read_text(encoding="utf-8").strip(),
        "/* data */": json.dumps({"colours": plots.COLOURS} | data, separators=(",", ":")),
        "<!-- still -->": small(*figure),
    }
    for mark, text in parts.items():
        before, after = page.split(mark)
        page = before + text + after
    (PROJECT / "docs" / f"{name}.html").write_text(page, encoding="utf-8")


def small(figure: Figure, alt: str) -> str:
    """A figure as an HTML image of few bytes: once for each pixel of the screen, in 128 colours."""
    figure.supxlabel(plots.SYNTHETIC, fontsize=7, color="0.45", x=0.995, ha="right")
    drawn, reduced = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=plots.SCREEN_DPI)
    Image.open(drawn).convert("RGB").quantize(128).save(reduced, "png", optimize=True)
    pixels = base64.b64encode(reduced.getvalue()).decode()
    return f'<img src="data:image/png;base64,{pixels}" alt="{html.escape(alt)}" style="max-width: 100%">'


def dial_data(counts: pd.DataFrame) -> dict:
    """What the dial shows, but for the images. counts: as benchmarks/dial.py writes it."""
    runs = [
        {
            "ratio": int(ratio),
            "overlap": float(overlap),
            "seed": int(seed),
            "counts": run[dial.ORDER].to_numpy().tolist(),
        }
        for (overlap, ratio, seed), run in counts.groupby(["overlap", "ratio", "seed"])
    ]
    ratios = sorted({run["ratio"] for run in runs})
    shades = [mpl.colors.to_hex(mpl.colormaps["cividis"](i / (SHADES - 1))) for i in range(SHADES)]
    seeds = counts["seed"].nunique()
    return {
        "order": dial.ORDER,
        "ratios": ratios,
        "overlaps": sorted({run["overlap"] for run in runs}),
        "sizes": {ratio: dial.class_sizes(ratio).tolist() for ratio in ratios},
        "runs": runs,
        "colour_of": dict(zip(CODES, plots.COLOURS, strict=True)),
        "shades": shades,
        "source": f"{len(runs)} trainings of the narrow residual net, {seeds} seeds at each setting; processor: "
        f"{counts['processor'].iloc[0]}. Numbers: benchmarks/results/dial.csv, written by benchmarks/dial.py.",
    }


def scores(counts: pd.DataFrame) -> pd.DataFrame:
    """The trainings at the overlap of the lesson, as `dial.try_ratios` returns them."""
    rows = []
    for (ratio, _), run in counts[counts["overlap"] == dial.OVERLAP].groupby(["ratio", "seed"]):
        matrix = run.set_index("label")[dial.ORDER].loc[dial.ORDER]
        recall = pd.Series({code: matrix.loc[code, code] / matrix.loc[code].sum() for code in dial.ORDER})
        rows.append(dial.row_of(ratio, recall))
    return pd.DataFrame(rows)


def thumbnails(overlap: float) -> dict[str, str]:
    """A training image of each class, JPEG in base64. overlap: of the pool from which they are taken."""
    pool = dial.pool(overlap)
    first = pool[pool["split"] == "train"].groupby("label", observed=True).head(1)
    found = {}
    for code, path in zip(first["label"].astype(str), first["path"], strict=True):
        buffer = io.BytesIO()
        Image.open(path).convert("RGB").resize(dial.DRAWN_SIZE).save(buffer, "jpeg", quality=75)
        found[code] = base64.b64encode(buffer.getvalue()).decode()
    return found


def threshold_data(points: pd.DataFrame) -> dict:
    """What the page on the threshold shows. points: as benchmarks/threshold.py writes it."""
    first = points.iloc[0]
    malignant, images = int(first["malignant_images"]), int(first["malignant_images"] + first["benign_images"])
    columns = [name for name in points if name == "threshold" or name.startswith(("sensitivity", "false_positive"))]
    return {
        "points": points[columns].to_dict("records"),
        "prevalences": sorted([*PREVALENCES, round(malignant / images, 3)]),
        "chosen": float(points.loc[points["chosen"], "threshold"].iloc[0]),
        "source": f"Test set of lesson 09 on the synthetic sample: {images} images of {first['lesions']} lesions, "
        f"{malignant} images malignant; EfficientNet-Lite0; processor: {first['processor']}. Numbers: "
        "benchmarks/results/threshold.csv, written by benchmarks/threshold.py.",
    }


def still(points: pd.DataFrame) -> tuple[Figure, str]:
    """The curves of the page on the threshold at one prevalence, and the alternative text."""
    points = points.set_index("threshold")
    found, false = STILL_AT * points["sensitivity"], (1 - STILL_AT) * points["false_positive_rate"]
    curves = {"sensitivity": points["sensitivity"], "false-positive rate": points["false_positive_rate"]}
    curves |= {f"PPV where {STILL_AT:.0%} are malignant": found / (found + false)}
    figure = plots.lines(pd.DataFrame(curves), "threshold of the alarm", "proportion")
    alt = "Three curves against the threshold: sensitivity and false-positive rate fall, the PPV rises."
    return figure, alt


if __name__ == "__main__":
    sys.exit(main())
