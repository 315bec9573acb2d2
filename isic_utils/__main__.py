"""The course's steps from a shell: ``python -m isic_utils COMMAND``; ``--help`` explains each."""

import argparse
import itertools
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from isic_utils import files, models
from isic_utils.datasets import download
from isic_utils.errors import IsicError, exit_status
from isic_utils.inference import second_opinion
from isic_utils.settings import load_settings
from isic_utils.training import Run, TrainConfig, fit_all, get_accelerator, imbalance, losses, protocols, runs


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns its `exit_status`."""
    chosen = build_parser().parse_args(arguments)
    return exit_status(partial(chosen.command, chosen))


def build_parser() -> argparse.ArgumentParser:
    """What the shell understands: a parser for each command, explained by the docstring of its function."""
    parser = argparse.ArgumentParser(prog="python -m isic_utils", description="The course's steps from a shell.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command, example: str = ""):
        text, epilog = command.__doc__, example and f"Example: python -m isic_utils {name} {example}"
        added = commands.add_parser(name, help=text.splitlines()[0], description=text, epilog=epilog)
        added.set_defaults(command=command)
        return added.add_argument

    option = add("download", download_images, "2019 --images 3000")
    option("year", type=int, choices=sorted(download.ARCHIVES), help="2019: classification; 2018: segmentation")
    option("--split", choices=["training", "validation", "test", "all"], default="training", help="default: training")
    option("--images", type=int, metavar="N", help="about N images of a split, by class and in whole lesions")
    option("--folder", type=Path, default=download.DEFAULT_FOLDER, help="where to; default: the project's data/isic")

    protocol = {"choices": list(protocols.PROTOCOLS)}
    protocol["help"] = "; ".join(f"{name}: {text}".replace("%", "%%") for name, text in protocols.PROTOCOLS.items())
    add("prepare", prepare_images)("protocol", **protocol)

    option = add("train", train_models, 'standard residual --seeds 0 1 --method "logit adjustment"')
    option("protocol", **protocol)
    option("models", nargs="*", metavar="MODEL", help=f"{', '.join(models.MODELS)}, timm:NAME; default: all")
    option("--group-by", choices=["lesion", "image"], default="lesion", help="default lesion; the thesis: image")
    option("--seeds", type=int, nargs="+", default=[0], metavar="N", help="default 0")
    option("--folds", type=int, nargs="+", choices=protocols.FOLD_NUMBERS, metavar="K", help="of cross-validation")
    methods = [name for name, method in imbalance.METHODS.items() if not method.post_hoc]
    option("--method", choices=methods, help="against class imbalance (lesson 08)")
    option("--mask-loss", choices=list(losses.MASK_LOSSES), help="of a U-Net (lesson 07)")

    option = add("evaluate", print_scores)
    option("run", metavar="RUN", type=Path, help="its folder, as `python -m isic_utils runs` lists it")
    option("--split", choices=["validation", "test"], default="test", help="default: test")

    option = add("predict", print_opinions, "my-images --csv opinions.csv --save opinions")
    option("images", nargs="+", type=Path, metavar="IMAGE", help="a JPEG, PNG or WebP file, or a folder")
    option("--run", type=Path, metavar="RUN", help="of a classifier; default: the best one on validation")
    option("--masks", type=Path, metavar="RUN", help="of a U-Net, for contours; default: the best one, if any")
    option("--csv", type=Path, metavar="FILE", help="also write a table with a row per image")
    option("--save", type=Path, metavar="FOLDER", help="also draw each opinion, with contour and heat map")

    add("runs", print_runs)
    return parser


def download_images(chosen: argparse.Namespace) -> None:
    """Download the real images of ISIC 2019 or 2018; if stopped (Ctrl-C), the same command resumes.

    2019 has 9.8 GB for training and 3.9 for the test; 2018 has 11.2, 0.2 for validation and 2.4 for the test. Unpacking
    needs twice the size.
    """
    folder = chosen.folder.expanduser().resolve()
    download.download(chosen.year, chosen.split, folder, chosen.images)
    print(f"To work with these images, set the environment variable ISIC_DATA to {folder}")


def prepare_images(chosen: argparse.Namespace) -> None:
    """Decode the images of ISIC_DATA once, at the size of ISIC_PROFILE; training does so too."""
    _, store = protocols.load_data(chosen.protocol, load_settings(), akiec=True)
    size = "×".join(map(str, store.size))
    print(f"{len(store):,} images are ready, {size} pixels, {store.pixels.nbytes / 1e6:,.0f} MB.")


def train_models(chosen: argparse.Namespace) -> None:
    """Train models on the images of ISIC_DATA, at the size of ISIC_PROFILE; interrupted runs are resumed.

    Several go side by side where that is faster; a classifier is made ready for `predict`.
    """
    settings, names = load_settings(), chosen.models or protocols.models_of(chosen.protocol)
    changes = {name: getattr(chosen, name) for name in ("method", "mask_loss") if getattr(chosen, name)}
    for name in names:
        TrainConfig.from_settings(settings, name, **changes)  # rejects wrong settings before any image is decoded
    table, store = protocols.load_data(chosen.protocol, settings, akiec=True)
    folds = chosen.folds or (protocols.FOLD_NUMBERS if chosen.protocol == "cross-validation" else [0])
    jobs = [
        protocols.arrange(chosen.protocol, name, table, settings, chosen.group_by, seed=seed, fold=fold, **changes)
        for seed, fold, name in itertools.product(chosen.seeds, folds, names)
    ]
    torch.set_num_threads(settings.threads)
    for run in fit_all(jobs, store, settings.runs):
        if get_accelerator().is_main_process:
            scores = run.scores().loc[run.headline].drop(["epoch", "loss"])
            told = ", ".join(f"{metric.replace('_', ' ')} {value:.3f}" for metric, value in scores.items())
            print(f"{run.folder.relative_to(settings.runs)}: {told}", flush=True)
            if run.config["classes"]:
                try:
                    second_opinion.read_decisions(run) or second_opinion.decide(run, store, table)
                except IsicError as error:  # too few validation images for a threshold
                    print(f"  without a second opinion: {error}", flush=True)
    get_accelerator().end_training()


def print_scores(chosen: argparse.Namespace) -> None:
    """Print the scores of each checkpoint of a finished run."""
    print(run_in(chosen.run).scores(chosen.split).round(4).to_string())


def run_in(folder: Path) -> Run:
    """The run in a folder, which may be given as `python -m isic_utils runs` lists it."""
    return Run(folder if folder.is_dir() else load_settings().runs / folder)


def print_runs(chosen: argparse.Namespace) -> None:
    """List the runs in ISIC_RUNS with their test scores, those of the headline checkpoint."""
    table = runs.list_runs(load_settings().runs)
    print(table.round(3).to_string(na_rep="") if len(table) else f"There are no runs in {load_settings().runs} yet.")


def second_opinion_of(folder: Path | None, mask_folder: Path | None = None) -> second_opinion.SecondOpinion:
    """The second opinion of the classifier and the U-Net in two folders; where none is given, of the best one on
    validation (without a U-Net if there is none). Raises IsicError if there is no classifier, and what
    `second_opinion.assemble` raises."""
    settings, table, store = load_settings(), None, None
    run = run_in(folder) if folder else second_opinion.best_run(settings)
    if run and second_opinion.read_decisions(run) is None:  # these need the images, the second opinion does not
        table, store = protocols.load_data("standard", settings, akiec=True)
        run = run if folder else second_opinion.best_run(settings, store=store)
    if run is None:
        ways = "python -m isic_utils train standard residual, or lesson 04 (make notebooks), trains one"
        raise IsicError(f"{settings.runs / settings.data_name} holds no classifier of these images: {ways}.")
    mask_run = run_in(mask_folder) if mask_folder else second_opinion.best_run(settings, "segmentation")
    return second_opinion.assemble(run, mask_run, store, table)


def print_opinions(chosen: argparse.Namespace) -> None:
    """Give the probable diagnoses of images, and say whether to ask an expert.

    For learning only: this is not a medical device, and nothing it says is medical advice. An image that cannot be read
    does not stop the others.
    """
    images = second_opinion.image_files(chosen.images)
    opinions = second_opinion_of(chosen.run, chosen.masks)
    contours = opinions.mask_run.folder if opinions.mask_run else "none, no U-Net is trained"
    drawn = second_opinion.SYNTHETIC_STATEMENT if opinions.run.config["synthetic"] else ""
    print(f"Classifier: {opinions.run.folder}\nContours: {contours}\n{second_opinion.STATEMENT} {drawn}\n", flush=True)
    rows, unreadable = [], 0
    for number, (name, image, opinion) in enumerate(second_opinion.each_opinion(opinions, images), start=1):
        rows.append(second_opinion.row_of(name, opinion))
        said, stream = (f"{name}: {opinion.summary}", sys.stdout) if image else (opinion.abstained, sys.stderr)
        print(said, file=stream, flush=True)
        unreadable += image is None
        if image and chosen.save:
            from isic_utils import plots  # which takes seconds to import

            file = chosen.save / f"{number:0{len(str(len(images)))}d}-{Path(name).stem}.png"
            plots.save_opinion(opinions, image, opinion, file)
    if chosen.csv:
        files.write(chosen.csv, partial(pd.DataFrame(rows).to_csv, index=False), files.ELSEWHERE)
    if unreadable:
        raise IsicError(f"{unreadable:,} of {len(images):,} images cannot be read (see above).")


if __name__ == "__main__":
    sys.exit(main())
