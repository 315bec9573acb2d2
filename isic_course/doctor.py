"""``python -m isic_course doctor``: a report on this machine, to read and to paste into an issue, with a plain verdict.

Nothing here may fail on a broken installation, since that is what it is for: only Python's own modules are imported at
the top, the others where they are needed, and what goes wrong becomes a line of the report.
"""

import contextlib
import getpass
import importlib.metadata
import io
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from isic_utils import __version__, settings
from isic_utils.errors import IsicError

INSTALL = "run `make notebooks`, or `pip install -e .` in this environment"
ENOUGH = 2e9  # bytes free, for the sample, its decoded images and the runs of all lessons


class Finding(NamedTuple):
    """A line of the report. name, value: what was looked at, and what was found; problem: "" if all is well, else one
    sentence that says what does not work and what to do."""

    name: str
    value: str
    problem: str = ""


def main(without_self_test: bool = False) -> int:
    """Print the report in Markdown, as it is found out; the verdict comes last. Returns the exit status: 0 if
    everything works, 1 if not."""
    problems = {}
    say("# Environment report")
    for look in (packages, device, variables, data, disk, *(() if without_self_test else (self_test,))):
        say(f"\n## {look.__name__.replace('_', '-').capitalize()}\n\n| | |\n|---|---|")
        for name, value, problem in findings(look):
            say(f"| {name} | {one_line(value)} |")
            if problem:
                problems[f"- {one_line(problem)}"] = None
    everything = f"**Everything works{', without the self-test' if without_self_test else ''}.**"
    wrong = ["**This does not work** (more in docs/troubleshooting.md):\n", *problems]
    say("\n".join(["\n## Verdict\n", *(wrong if problems else [everything])]))
    return 1 if problems else 0


def findings(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a section finds; if it fails, that is its last finding."""
    try:
        yield from look()
    except Exception as error:  # whatever a broken installation raises
        problem = f"The {look.__name__} cannot be found out ({type(error).__name__}: {error}): {INSTALL}, or report it."
        yield Finding("failed", str(error), str(error) if isinstance(error, IsicError) else problem)


def packages() -> Iterator[Finding]:
    """The course, Python and the packages that the course needs, by the list in pyproject.toml."""
    from packaging.requirements import Requirement

    yield Finding("course", f"{__version__}, with Python {sys.version.split()[0]} ({sys.executable})")
    project = tomllib.loads((settings.PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for wanted in map(Requirement, project["dependencies"]):
        try:
            installed = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(wanted.name, "not installed", f"The package {wanted.name} is missing: {INSTALL}.")
            continue
        fits = wanted.specifier.contains(installed, prereleases=True)
        problem = f"{wanted.name} is {installed}, and the course needs {wanted.specifier}: {INSTALL}."
        yield Finding(wanted.name, installed, "" if fits else problem)


def device() -> Iterator[Finding]:
    """System, processor, GPU and driver; most of it as PyTorch's own report finds it."""
    import torch
    from torch.utils.collect_env import get_env_info

    from isic_course.gpu import check_gpu
    from isic_utils.training import get_accelerator

    found = get_env_info()
    for name in ("os", "torch_version", "cuda_compiled_version", "nvidia_driver_version", "nvidia_gpu_models"):
        yield Finding(name.replace("_", " "), getattr(found, name) or "none")
    yield Finding("processor", f"{os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}")
    accelerator = get_accelerator()
    yield Finding("training", f"{accelerator.device.type}, mixed precision: {accelerator.mixed_precision}")
    check_gpu(accelerator.device, found.nvidia_gpu_models)


def variables() -> Iterator[Finding]:
    """The three environment variables, and the settings that follow from them."""
    yield from (Finding(name, os.environ.get(name) or "not set") for name in ("ISIC_DATA", "ISIC_PROFILE", "ISIC_RUNS"))
    found = settings.load_settings()
    yield from (Finding(name, str(getattr(found, name))) for name in ("profile", "data", "cache", "runs"))


def data() -> Iterator[Finding]:
    """The tables, images and masks in ISIC_DATA."""
    from isic_utils.datasets import read_isic2018, read_isic2019

    found = settings.load_settings()
    if found.data == settings.SAMPLE and not found.data.is_dir():
        yield Finding("synthetic sample", "not drawn yet; the first notebook draws it")
        return
    yield Finding("kind", "synthetic, drawn by code" if found.synthetic else "real images")
    readers = {"ISIC_2019": read_isic2019, "ISIC2018_Task1": read_isic2018}
    files = {"ISIC_2019": ("ISIC_2019*Training*", "HAM10000_metadata*", "ISIC2018_Task3*")}  # any of them can be read
    files["ISIC2018_Task1"] = ("ISIC2018_Task1*Training*",)
    there = [task for task in readers if any(any(found.data.glob(pattern)) for pattern in files[task])]
    for task in there or ["ISIC_2019"]:  # if nothing is there, its reader says what is missing
        try:
            with contextlib.redirect_stdout(io.StringIO()) as told:  # what is missing from a partial download
                table = readers[task](found.data)
        except IsicError as error:
            yield Finding(task, "not usable", str(error))
            continue
        counts = table["label"].value_counts(sort=False).to_dict() if "label" in table else {}
        classes = "".join(f", {count:,} {code}" for code, count in counts.items())
        yield Finding(task, f"{len(table):,} images{classes}. {told.getvalue()}")


def disk() -> Iterator[Finding]:
    """How much is free where the course writes, and whether it may."""
    found = settings.load_settings()
    places = {"decoded images": (found.cache, "move the course to another disk")}
    places["runs"] = found.runs, "set ISIC_RUNS to a folder on another disk"
    places["temporary files"] = Path(tempfile.gettempdir()), "set TMPDIR (Windows: TEMP) to a folder on another disk"
    for name, (folder, advice) in places.items():
        there = next(place for place in (folder, *folder.parents) if place.is_dir())
        free = shutil.disk_usage(there).free
        few = f"Only {free / 1e9:.1f} GB are free for {name} in {there}: free some, or {advice}."
        problem = few if free < ENOUGH else ""
        try:
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            problem = f"Nothing can be written to {there} ({error.strerror}): make it writable, or {advice}."
        yield Finding(name, f"{free / 1e9:,.1f} GB free", problem)


def self_test() -> Iterator[Finding]:
    """The course in small: how long it took, or what failed."""
    from isic_course.self_test import start_a_kernel, train_and_predict

    for name, step in {"train and predict": train_and_predict, "kernel": start_a_kernel}.items():
        start = time.perf_counter()
        step()
        yield Finding(name, f"ok, {time.perf_counter() - start:.1f} s")


def say(text: str) -> None:
    """Print a text without the home folder (``~`` instead) and without the user's name in other paths."""
    home = str(Path.home())
    text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text) if len(home) > 1 else text
    with contextlib.suppress(OSError, KeyError, ImportError):  # no name, as in some containers
        text = re.sub(rf"(?<=[/\\]){re.escape(getpass.getuser())}(?![\w.-])", "<user>", text)
    print(text, flush=True)


def one_line(text: str) -> str:
    """Text as it can stand in a cell of a Markdown table, without line breaks."""
    return " ".join(str(text).split()).replace("|", "\\|")
