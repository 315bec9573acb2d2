"""``python -m isic_utils doctor``: a report on this machine, to read and to paste into an issue, with a plain verdict.

Nothing here may fail on a broken installation, since that is what it is for: so only Python's own modules are imported
at the top, the others where they are needed, and what goes wrong becomes a line of the report.
"""

import argparse
import contextlib
import getpass
import importlib.metadata
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from isic_utils import __version__, settings as profile
from isic_utils.errors import IsicError

SHOWN = ["torch", "torchvision", "accelerate", "numpy", "pandas", "pillow", "matplotlib", "scikit-image", "jupyterlab"]
INSTALL = "run `make notebooks`, or `pip install -e .` in this environment"
ENOUGH = 2e9  # bytes free, for the sample, its decoded pictures and the runs of all lessons


@dataclass(frozen=True)
class Finding:
    """A line of the report. name, value: what was looked at, and what was found; problem: "" if all is well, else one
    sentence that says what does not work and what to do."""

    name: str
    value: str
    problem: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Print the report. Returns the exit status: 0 if everything works, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m isic_utils doctor", description=f"{HELP[0].upper()}{HELP[1:]}.")
    parser.add_argument("--quick", action="store_true", help="leave out the self-test, which takes up to a minute")
    chosen = parser.parse_args(arguments)
    works = True
    for line in report(without_self_test=chosen.quick):
        print(anonymous(line), flush=True)
        works = works and not line.startswith("**This does not work")
    return 0 if works else 1


HELP = "say what is installed, which data are found, and whether everything works"


def report(without_self_test: bool = False) -> Iterator[str]:
    """The report in Markdown, line by line, as it is found out; the verdict comes last."""
    problems = []
    yield "# Environment report"
    for title, look in SECTIONS.items():
        if look is in_small and without_self_test:
            continue
        yield from ["", f"## {title}", "", "| | |", "|---|---|"]
        for finding in findings(title, look):
            yield f"| {cell(finding.name)} | {cell(finding.value)} |"
            if finding.problem and finding.problem not in problems:
                problems.append(finding.problem)
    yield from ["", "## Verdict", ""]
    if problems:
        yield from ["**This does not work:**", "", *[f"- {one_line(problem)}" for problem in problems]]
    else:
        yield "**Everything works.**" + (" (Without the self-test.)" if without_self_test else "")


def findings(title: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a section finds; if it fails, that is its last finding."""
    try:
        yield from look()
    except IsicError as error:
        yield Finding("not all right", str(error), str(error))
    except ImportError as error:
        yield Finding("cannot be imported", str(error), f"A package is missing or broken ({error}): {INSTALL}.")
    except Exception as error:  # whatever a broken installation raises
        reason = f"{type(error).__name__}: {error}"
        yield Finding("failed", reason, f"{title} could not be found out ({reason}): report it with all of this.")


def versions() -> Iterator[Finding]:
    """The course, Python and the packages that the course needs, by the list in pyproject.toml."""
    from packaging.requirements import Requirement

    course = [__version__, answer_of("git", "-C", str(profile.PROJECT), "describe", "--always", "--dirty")]
    yield Finding("course", ", git ".join(filter(None, course)))
    yield Finding("system", platform.platform())
    yield Finding("Python", f"{platform.python_version()}, {sys.executable}")
    project = tomllib.loads((profile.PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for wanted in map(Requirement, project["dependencies"]):
        try:
            installed = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(wanted.name, "not installed", f"The package {wanted.name} is missing: {INSTALL}.")
            continue
        if not wanted.specifier.contains(installed, prereleases=True):
            problem = f"{wanted.name} is {installed}, and the course needs {wanted.specifier}: {INSTALL}."
            yield Finding(wanted.name, f"{installed}, too old", problem)
        elif wanted.name in SHOWN:
            yield Finding(wanted.name, installed)


def device() -> Iterator[Finding]:
    """Processor, memory, and the graphics card with its driver."""
    import psutil
    import torch

    from isic_utils import models
    from isic_utils.training import predicting, processes

    yield Finding("processor", f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads for PyTorch")
    memory = psutil.virtual_memory()
    yield Finding("memory", f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} GB free")
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(number)
        driver = answer_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").split("\n")[0]
        yield Finding(
            f"graphics card {number}",
            f"{card.name}, {card.total_memory / 1e9:.1f} GB, driver {driver or 'unknown'}, CUDA {torch.version.cuda}",
        )
    card = answer_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").replace("\n", ", ")
    if card and not torch.cuda.is_available():
        problem = (
            f"There is a graphics card ({card}), but this PyTorch ({torch.__version__}) cannot use it: install the "
            "version for your CUDA from https://pytorch.org/get-started, or go on with the processor."
        )
        yield Finding("graphics card", f"{card}, not usable", problem)
    chosen = processes.accelerator().device
    mixed = predicting.mixed_precision(chosen, models.classifier("residual", slim=True))
    precision = str(mixed.fast_dtype).removeprefix("torch.") if mixed._enabled else "float32"
    yield Finding("the course trains on", f"{chosen.type}, in {precision}")


def settings() -> Iterator[Finding]:
    """What the three environment variables say, and what that comes to."""
    for variable in ("ISIC_DATA", "ISIC_PROFILE", "ISIC_RUNS"):
        yield Finding(variable, os.environ.get(variable) or "not set")
    found = profile.current()
    yield Finding("profile", found.name)
    yield Finding("data", str(found.data))
    yield Finding("decoded pictures", str(found.cache))
    yield Finding("runs", str(found.runs))


def data() -> Iterator[Finding]:
    """The tables, pictures and masks in ISIC_DATA, and the decoded pictures, which say what was left out."""
    found = profile.current()
    if found.data == profile.SAMPLE and not found.data.is_dir():
        yield Finding("synthetic sample", "not drawn yet; the first notebook draws it")
        return
    yield Finding("kind", "synthetic, drawn by code" if found.synthetic else "photographed")
    yield from pictures_found(found.data)
    for index in sorted(found.cache.glob("*/index.json")):
        content = json.loads(index.read_text(encoding="utf-8"))
        megabytes = sum(file.stat().st_size for file in index.parent.iterdir()) / 1e6
        size = index.parent.name.rpartition("-")[0]
        kept = f"{len(content['images']):,} pictures, {len(content['left_out']):,} left out, {megabytes:,.0f} MB"
        yield Finding(f"decoded, {size}", kept)


def pictures_found(folder: Path) -> Iterator[Finding]:
    """What there is for each of the two tasks."""
    from isic_utils.datasets import tables

    nothing = True
    tasks = {
        "ISIC 2019, to classify": (tables.isic2019, [tables.GROUND_TRUTH_2019, tables.PICTURES_2019]),
        "ISIC 2018, to segment": (tables.isic2018, [tables.PICTURES_2018, tables.MASKS_2018]),
    }
    for name, (read, files) in tasks.items():
        if not any((folder / file).exists() for file in files):
            yield Finding(name, "nothing there")
            continue
        nothing = False
        with contextlib.redirect_stdout(io.StringIO()) as said:  # what is missing from a partial download
            try:
                table = read(folder)
            except IsicError as error:
                yield Finding(name, "not readable", str(error))
                continue
        count = f"{len(table):,} pictures with masks"
        if "label" in table:
            each = table["label"].value_counts(sort=False)
            count = (
                f"{table['path'].notna().sum():,} pictures: {', '.join(f'{n:,} {code}' for code, n in each.items())}"
            )
        yield Finding(name, " · ".join([count, *said.getvalue().splitlines()]))
    if nothing:
        problem = (
            f"There are no pictures in {folder}: set ISIC_DATA to the folder that holds {tables.GROUND_TRUTH_2019}, or "
            "unset it to work on the synthetic sample."
        )
        yield Finding("pictures", "none", problem)


def disk() -> Iterator[Finding]:
    """How much is free where the course writes, and whether it may."""
    found = profile.current()
    for name, folder, remedy in (
        ("decoded pictures", found.cache, "move the course to another disk"),
        ("runs", found.runs, "set ISIC_RUNS to a folder on another disk"),
        ("temporary files", Path(tempfile.gettempdir()), "set TMPDIR (Windows: TEMP) to a folder on another disk"),
    ):
        there = next(place for place in (folder, *folder.parents) if place.is_dir())
        free = shutil.disk_usage(there).free
        problem = ""
        try:
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            problem = f"Nothing can be written to {there} ({error.strerror}): make it writable, or {remedy}."
        if free < ENOUGH:
            problem = f"Only {free / 1e9:.1f} GB are free for {name} in {there}: free some, or {remedy}."
        yield Finding(name, f"{free / 1e9:,.1f} GB free" + (", but see below" if problem else ""), problem)


def in_small() -> Iterator[Finding]:
    """The course in small, step by step: how long each took, or what failed."""
    from isic_course import self_test

    for name, seconds, problem in self_test.run():
        yield Finding(name, f"failed: {problem}" if problem else f"ok, {seconds:.1f} s", problem)


SECTIONS = {
    "Versions": versions,
    "Device": device,
    "Settings": settings,
    "Data": data,
    "Disk": disk,
    "Self-test": in_small,
}


def processor() -> str:
    """The processor's name, as far as the system tells."""
    with contextlib.suppress(OSError):
        names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
        if names:
            return names[0]
    return answer_of("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or platform.machine()


def answer_of(*command: str) -> str:
    """What a program prints; "" if it is not there, takes too long or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def anonymous(text: str) -> str:
    """Text without the home folder (``~`` instead) and without the user's name in other paths."""
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    with contextlib.suppress(OSError, KeyError, ImportError):  # no name, as in some containers
        text = re.sub(rf"(?<=[/\\]){re.escape(getpass.getuser())}(?![\w.-])", "<user>", text)
    return text


def cell(text: str) -> str:
    """Text as it can stand in a cell of a Markdown table."""
    return one_line(text).replace("|", "\\|")


def one_line(text: str) -> str:
    """Text without line breaks, and not too long."""
    line = " ".join(str(text).split())
    return line if len(line) <= 600 else f"{line[:600]} …"
