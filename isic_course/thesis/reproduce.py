"""Everything of the thesis, one training after another, and a report that is rewritten after each.

The order gives results early: the standard protocol for all five networks, the small ones first, then U-Net, then the
balanced protocol, then the cross-validation fold by fold, and at last the official test sets, where they are there.
Stopped at any moment, it continues from there: finished runs are found, half-trained ones continue.
"""

from dataclasses import replace
from pathlib import Path

from isic_course.thesis import official, report, tables as results
from isic_course.thesis.tables import Found, Step
from isic_utils import archive
from isic_utils.errors import IsicError
from isic_utils.settings import Settings
from isic_utils.training import fit, get_accelerator, protocols
from isic_utils.training.state import from_main

CHEAP_FIRST = ["alexnet", "residual", "resnet101", "wide_resnet", "vgg16"]  # by multiplications for an image
BESIDES = [Step("standard", "efficientnet_lite0"), Step("segmentation", "unet_lite0")]  # shown, if a lesson made them


def plan() -> list[Step]:
    """Every training of the thesis, 31 of them, in the order in which they are done."""
    steps = [Step("standard", name) for name in CHEAP_FIRST] + [Step("segmentation", "unet")]
    steps += [Step("balanced", name) for name in CHEAP_FIRST]
    steps += [Step("cross-validation", name, fold) for fold in protocols.FOLD_NUMBERS[1:] for name in CHEAP_FIRST]
    return steps


def reproduce(settings: Settings, train: bool = True) -> tuple[Path, dict[str, IsicError]]:
    """Train what is missing, predict the official test sets, and write the report after each step.

    train: False writes the report of what is there. What cannot be trained does not stop the others. Returns the
    report's file, and what could not be done: the step in words -> its error.

    Several processes (accelerate launch) take the same steps, so that none waits for another in vain: `fit` is called
    for every step, finished or not, and what is missing is what the main process misses. Raises IsicError there if a
    training fails, since the others may be in the middle of it.
    """
    accelerator = get_accelerator()
    found, failed = results.find(settings, [*plan(), *BESIDES]), {}
    file = write_report(found, failed)
    say(f"The report: {file}")
    if not train:
        return file, {}
    missing = from_main(found.missing)
    for number, step in enumerate(plan(), start=1):
        why, known = missing.get(step.data) or missing.get(step.protocol), step in found.runs
        if not known:
            say(f"[{number}/{len(plan())}] {step}{f', not done: {why}' if why else ''}")
        if why:
            failed[str(step)] = why
            continue
        try:
            if step.data not in found.data:  # in this process alone
                raise found.missing[step.data]
            table, store = found.data[step.data]
            config, *drawn = protocols.arrange(step.protocol, step.model, table, settings, "image", fold=step.fold)
            run = fit(config, store, *drawn, settings.runs)
        except IsicError as error:
            if accelerator.num_processes > 1:
                raise
            failed[str(step)] = IsicError(*error.args)  # the error itself would keep the memory of the training
            say(f"  not done: {error}")
        else:
            found = replace(found, runs=found.runs | {step: run})
        if not known:
            write_report(found, failed)
        accelerator.wait_for_everyone()  # the others would end this process if they failed while it writes
    if accelerator.is_main_process:
        failed |= predict_official(found)
    write_report(found, failed)
    accelerator.wait_for_everyone()
    return file, failed


def write_report(found: Found, failed: dict[str, IsicError]) -> Path:
    """Write the report, in the main process only, and return its file."""
    if get_accelerator().is_main_process:
        return report.write(found, plan(), failed)
    return report.file_of(found.settings)


def say(text: str) -> None:
    """Print a line, in the main process only."""
    if get_accelerator().is_main_process:
        print(text, flush=True)


def predict_official(found: Found) -> dict[str, IsicError]:
    """Let the standard runs predict ISIC 2019's test set and the U-Nets ISIC 2018's, where they are in the data folder.

    Returns what could not be done: in words -> its error. Test sets that are not there are no failure.
    """
    data, failed = found.settings.data, {}
    sets = {
        "standard": (data / archive.IMAGES_2019_TEST, official.predict_2019),
        "segmentation": (data / archive.IMAGES_2018.replace("Training", "Test"), official.predict_2018),
    }
    for step, run in found.runs.items():
        folder, predict = sets.get(step.protocol, (None, None))
        if folder is None or not folder.is_dir():
            continue
        say(f"official test set: {step}")
        try:
            predict(run, found.settings)
        except IsicError as error:
            failed[f"official test set, {step}"] = IsicError(*error.args)
    return failed
