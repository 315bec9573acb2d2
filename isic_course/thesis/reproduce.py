"""Everything of the thesis, one training after another, and a report that is rewritten after each.

The order gives results early: the standard protocol for all five networks, the small ones first, then U-Net, then the
balanced protocol, then the cross-validation stage by stage, and at last the official test sets, where they are there.
Stopped at any moment, it goes on from there: finished runs are found, half-trained ones continue.
"""

from dataclasses import replace
from pathlib import Path

from isic_course.thesis import official, report, tables as results
from isic_course.thesis.tables import Found, Step
from isic_utils import models
from isic_utils.datasets import tables
from isic_utils.errors import IsicError
from isic_utils.settings import Profile
from isic_utils.training import processes, protocols

CHEAP_FIRST = ["alexnet", "resnet101", "residual", "wide_resnet", "vgg16"]  # by multiplications for a picture
BESIDES = [Step("standard", "efficientnet_lite0"), Step("segmentation", "unet_lite0")]  # shown, if a lesson made them


def plan() -> list[Step]:
    """Every training of the thesis, 31 of them, in the order in which they are done."""
    steps = [Step("standard", name) for name in CHEAP_FIRST]
    steps += [Step("segmentation", "unet")]
    steps += [Step("balanced", name) for name in CHEAP_FIRST]
    steps += [Step("cross-validation", name, stage) for stage in protocols.STAGES[1:] for name in CHEAP_FIRST]
    return steps


def reproduce(settings: Profile, train: bool = True) -> tuple[Path, dict[str, str]]:
    """Train what is missing, answer the official test sets, and write the report after each step.

    train: False writes the report of what is there. What cannot be trained does not stop the others. Returns the
    report's file, and what could not be done: the step in words -> why.
    """
    found = results.find(settings, [*plan(), *BESIDES])
    failed: dict[str, str] = {}
    file = write_report(found, failed)
    say(f"The report: {file}")
    if not train:
        return file, {}
    prepare = protocols.once(settings)
    for number, step in enumerate(plan(), start=1):
        if step in found.runs and found.runs[step].config["pretrained"] != models.NOT_DOWNLOADED:
            continue  # one that had to do without ImageNet weights is trained again, once they can be had
        say(f"[{number}/{len(plan())}] {step}")
        try:
            prepared = prepare(results.pictures_of(step))
            run = protocols.train(step.protocol, step.model, *prepared, settings, stage=step.stage)
        except IsicError as error:
            if processes.accelerator().num_processes > 1:
                raise  # the others are still inside this step, and cannot be told
            failed[str(step)] = str(error)
            say(f"  not done: {error}")
        else:
            found = replace(found, runs=found.runs | {step: run})
        write_report(found, failed)
    if processes.is_main():
        failed |= answer_official(found)
    return write_report(found, failed), failed


def write_report(found: Found, failed: dict[str, str]) -> Path:
    """Write the report; where several processes train together, only the main one does."""
    if processes.is_main():
        return report.write(found, plan(), failed)
    return report.place(found.settings)


def say(text: str) -> None:
    """Print a line, in the main process only (`processes`)."""
    if processes.is_main():
        print(text, flush=True)


def answer_official(found: Found) -> dict[str, str]:
    """Let the standard runs answer ISIC 2019's test set and the U-Nets ISIC 2018's, where they are in the data folder.

    Returns what could not be done: in words -> why. Test sets that are not there are no failure.
    """
    data, failed = found.settings.data, {}
    sets = {
        "standard": (data / tables.PICTURES_2019_TEST, official.answer_2019),
        "segmentation": (data / tables.PICTURES_2018.replace("Training", "Test"), official.answer_2018),
    }
    for step, run in found.runs.items():
        place, answer = sets.get(step.protocol, (None, None))
        if place is None or not place.is_dir():
            continue
        say(f"official test set: {step}")
        try:
            answer(run, found.settings)
        except IsicError as error:
            failed[f"official test set, {step}"] = str(error)
    return failed
