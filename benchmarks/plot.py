"""Draws benchmarks/results.png from the tables in benchmarks/results, and prints them as Markdown for the README.

python benchmarks/plot.py
python benchmarks/plot.py --write              also puts the tables into benchmarks/README.md
"""

import argparse
from pathlib import Path

import marks
import matplotlib.pyplot as plt
import pandas as pd
import side_by_side
from matplotlib import ticker
from matplotlib.figure import Figure

from isic_utils import plots

HERE = Path(__file__).resolve().parent
SPEED = ["preparing", "feeding", "training_speed", "metrics"]
START, END = "<!-- tables: written by benchmarks/plot.py -->", "<!-- end of tables -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    arguments = parser.parse_args()
    speed = pd.concat([pd.read_csv(side_by_side.RESULTS / f"{name}.csv") for name in SPEED], ignore_index=True)
    memory = pd.read_csv(side_by_side.RESULTS / "memory.csv")
    with plt.style.context(plots.STYLE):
        draw(speed, memory).savefig(HERE / "results.png", dpi=120)
    text = tables(speed, memory)
    print(text)
    if arguments.write:
        page = (HERE / "README.md").read_text(encoding="utf-8")
        (HERE / "README.md").write_text(marks.replaced(page, START, END, text), encoding="utf-8")


def largest(table: pd.DataFrame) -> pd.DataFrame:
    """Of each comparison the rows with the most images."""
    return table[table["images"] == table.groupby("comparison")["images"].transform("max")]


def draw(speed: pd.DataFrame, memory: pd.DataFrame) -> Figure:
    """On the left the ratios to the course, on the right how time and memory grow with the number of images."""
    figure = plt.figure(figsize=(13, 8.5))
    left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
    draw_ratios(left.subplots(), largest(speed))
    panels = right.subplots(2, 2)
    sizes = speed.groupby("comparison", sort=False)["images"].nunique()
    compared = list(sizes.index[sizes > 1])
    shown = [name for name in compared if "metrics" not in name or "Jaccard" in name]
    shown = [name for name in shown if not (name.startswith("preparing") and "one core" not in name)]
    for axis, name in zip(panels.flat[:-1], shown, strict=False):
        rows = speed[speed["comparison"] == name]
        draw_growth(axis, name, rows.pivot(index="images", columns="contender", values="seconds"), "seconds")
    growth = memory.assign(name=memory["comparison"].str.removeprefix("memory, "))
    growth = growth.pivot(index="images", columns="name", values="peak MB")
    axis = panels.flat[-1]
    draw_growth(axis, "memory", growth, "peak, MB")
    axis.axhline(memory["limit MB"].iloc[0], color="black", linestyle="--", linewidth=1)
    axis.set_ylim(100, 6000)
    return figure


def draw_ratios(axis: plt.Axes, rows: pd.DataFrame) -> None:
    """A bar for each rival, from 1 (as fast as the course); a black mark at the target."""
    rows = rows[rows["contender"] != side_by_side.COURSE].reset_index(drop=True)
    kinds = list(dict.fromkeys(rows["comparison"].str.split(",").str[0]))
    for place, row in rows.iterrows():
        kind = kinds.index(row["comparison"].split(",")[0])
        axis.barh(
            -place,
            row["ratio"] - 1,
            left=1,
            color=plots.COLOURS[kind],
            hatch=plots.HATCHES[kind],
            edgecolor="white",
        )
        axis.annotate(
            f"{row['ratio']:.2f}",
            (max(row["ratio"], 1, row["required"] if pd.notna(row["required"]) else 1) * 1.05, -place),
            va="center",
            fontsize=8,
        )
        if pd.notna(row["required"]):
            axis.plot([row["required"]] * 2, [-place - 0.45, -place + 0.45], color="black", linewidth=2)
    axis.set_yticks(-rows.index, rows["comparison"] + ": " + rows["contender"], fontsize=8)
    axis.set_xscale("log")
    axis.set_xlim(0.8, rows["ratio"].max() * 1.6)
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100) if tick < rows["ratio"].max() * 1.6]
    axis.set_xticks(ticks, map(str, ticks))
    axis.minorticks_off()
    axis.axvline(1, color="0.5", linewidth=1)
    axis.set_xlabel("time relative to the course; black: target", fontsize=9)
    axis.margins(y=0.01)


def draw_growth(axis: plt.Axes, title: str, values: pd.DataFrame, what: str) -> None:
    """A line per contender on double logarithmic axes, the course first."""
    names = sorted(values, key=lambda name: name != side_by_side.COURSE)
    for i, name in enumerate(names):
        style = {"color": plots.COLOURS[i], "linestyle": plots.DASHES[i], "marker": plots.MARKERS[i]}
        axis.plot(values.index, values[name], markersize=4, label=name, **style)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(values.index, [f"{count:,}".replace(",", " ") for count in values.index], fontsize=7)
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(ticker.NullLocator())
    axis.tick_params(axis="y", labelsize=7)
    axis.set_title(title, fontsize=9)
    axis.set_ylabel(what, fontsize=8)
    axis.set_xlabel("images", fontsize=8)
    axis.legend(fontsize=6, loc="best")
    axis.grid(alpha=0.3)


def tables(speed: pd.DataFrame, memory: pd.DataFrame) -> str:
    """Both tables, with the largest number of images, and the machines on which they were measured."""
    lines = ["| comparison | images | contender | seconds | images/s | time relative to the course | target |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in largest(speed).itertuples():
        required = "" if pd.isna(row.required) else f"≥ {row.required:g}"
        per_second = f"{row.images / row.seconds:,.0f}".replace(",", " ")
        images = f"{row.images:,}".replace(",", " ")
        lines.append(
            f"| {row.comparison} | {images} | {row.contender} | {row.seconds:.3g} | {per_second} | {row.ratio:.2f} "
            f"| {required} |"
        )
    lines += [
        "",
        "| memory | images | peak, MB | of which not mapped from files, MB | target |",
        "|---|---|---|---|---|",
    ]
    for _, row in memory.iterrows():
        images = f"{row['images']:,}".replace(",", " ")
        what = row["comparison"].removeprefix("memory, ")
        lines.append(
            f"| {what} | {images} | {row['peak MB']:.0f} | {row['own MB']:.0f} | below {row['limit MB']:.0f} |"
        )
    machines = pd.concat([speed["machine"], memory["machine"]]).drop_duplicates()
    return "\n".join([*lines, "", "Measured on:", "", *(f"- {machine}" for machine in machines)])


if __name__ == "__main__":
    main()
