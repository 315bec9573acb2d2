"""The course's steps from a shell: ``python -m isic_utils <command>``; ``--help`` explains each."""

import argparse
import sys
from pathlib import Path

from isic_course import doctor

if __name__ == "__main__" and sys.argv[1:2] == ["doctor"]:  # at once, since the imports below may be what is broken
    sys.exit(doctor.main(sys.argv[2:]))

from isic_course.thesis import reproduce as thesis
from isic_utils import models, settings as profile
from isic_utils.datasets import archive, selection, tables
from isic_utils.errors import IsicError
from isic_utils.inference import second_opinion as inference
from isic_utils.training import imbalance as remedies, losses, processes, protocols, runs

# A command is two functions: `add_…` says what it understands, the other does it. `main` calls each `add_…`.


def add_download(commands: argparse._SubParsersAction) -> None:
    """The command ``download``."""
    parser = commands.add_parser(
        "download",
        help="bring the real pictures of ISIC 2019 or ISIC 2018 here",
        description="Bring an official ISIC archive, or some pictures of it, into a folder that the course can read.",
        epilog=(
            "ISIC 2019 (classification): training 9.8 GB, test 3.9 GB. ISIC 2018 Task 1 (segmentation): "
            "training 11.2 GB, validation 0.2 GB, test 2.4 GB. While a zip is unpacked, twice its size is needed. "
            "You may stop at any moment (Ctrl-C); the same command goes on from there. Example, for a class: "
            "python -m isic_utils download 2019 --pictures 3000"
        ),
    )
    parser.add_argument("year", type=int, choices=sorted(archive.ARCHIVES), help="which challenge")
    parser.add_argument(
        "--part",
        choices=["training", "validation", "test", "all"],
        default="training",
        help="which of the official parts; the course needs only training, the default (2019 has no validation)",
    )
    parser.add_argument(
        "--pictures",
        type=positive,
        metavar="N",
        help="bring about N pictures of each part instead of all, each class in proportion and lesions whole",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=archive.FOLDER,
        help="where to; default: data/isic in the project's folder",
    )
    parser.set_defaults(run=download)


def download(arguments: argparse.Namespace) -> None:
    """Bring an archive, or some of its pictures."""
    wanted, folder = archive.ARCHIVES[arguments.year], arguments.folder.expanduser().resolve()
    if arguments.pictures is None:
        archive.download(wanted, arguments.part, folder)
    else:
        selection.download(wanted, arguments.part, arguments.pictures, folder)
    print(f"To work with these pictures, set the environment variable ISIC_DATA to {folder}")


def add_prepare(commands: argparse._SubParsersAction) -> None:
    """The command ``prepare``."""
    parser = commands.add_parser(
        "prepare",
        help="decode the pictures once, which training needs",
        description="Decode and shrink the pictures of ISIC_DATA for ISIC_PROFILE. Training does it too, if need be.",
    )
    parser.add_argument("protocol", choices=list(protocols.NAMES), help="; ".join(describe(protocols.NAMES)))
    parser.set_defaults(run=prepare)


def prepare(arguments: argparse.Namespace) -> None:
    """Decode the pictures that a protocol needs."""
    _, photos = protocols.prepare(arguments.protocol, profile.current())
    size = "×".join(map(str, photos.pixels.shape[1:3]))
    print(f"{len(photos.images):,} pictures are ready, {size} pixels, {photos.pixels.nbytes / 1e6:,.0f} MB.")


def add_train(commands: argparse._SubParsersAction) -> None:
    """The command ``train``."""
    parser = commands.add_parser(
        "train",
        help="train models by a protocol of the thesis; the notebooks then find them trained",
        description=(
            "Train models as the notebooks do, on the pictures of ISIC_DATA, at the size of ISIC_PROFILE. What is "
            "trained already is not trained again; what was interrupted goes on where it stopped."
        ),
        epilog=(
            "Examples: python -m isic_utils train standard; "
            "python -m isic_utils train cross-validation alexnet --by lesion --stages 1 2; "
            'python -m isic_utils train standard efficientnet_lite0 --by lesion --remedy "logit adjustment"; '
            'python -m isic_utils train segmentation unet --loss "soft Dice" --seeds 0 1 2. '
            "With several graphics cards: accelerate launch -m isic_utils train …, to the same result"
        ),
    )
    parser.add_argument("protocol", choices=list(protocols.NAMES), help="; ".join(describe(protocols.NAMES)))
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help=f"which models: {', '.join(models.NAMES)}, or for segmentation {', '.join(models.SEGMENTERS)}; "
        "none named: all of them",
    )
    parser.add_argument(
        "--by", choices=["picture", "lesion"], default="picture", help="split by picture, as the thesis, or by lesion"
    )
    parser.add_argument("--seeds", type=seed, nargs="+", default=[0], metavar="N", help="seeds, default 0")
    parser.add_argument(
        "--stages",
        type=int,
        nargs="+",
        choices=protocols.STAGES,
        metavar="N",
        help="stages of the cross-validation, default all five",
    )
    parser.add_argument(
        "--loss",
        choices=list(losses.OF_MASKS),
        help="for segmentation; default: both, that is cross-entropy and soft Jaccard added up",
    )
    trained = [name for name, remedy in remedies.REMEDIES.items() if not remedy.afterwards]
    parser.add_argument("--remedy", choices=trained, help="against skewed classes (lesson 08); default: none")
    parser.set_defaults(run=train)


def train(arguments: argparse.Namespace) -> None:
    """Train every model that was asked for, one after another."""
    settings = profile.current()
    crossed = arguments.protocol == "cross-validation"
    if arguments.stages and not crossed:
        raise IsicError(f"{arguments.protocol} has no stages: leave out --stages, or train cross-validation.")
    names = arguments.models or protocols.models_of(arguments.protocol)
    for name in names:  # before anything is decoded
        protocols.check(arguments.protocol, name, arguments.by, arguments.loss, arguments.remedy)
    table, photos = protocols.prepare(arguments.protocol, settings)
    for seed in arguments.seeds:
        for stage in (arguments.stages or protocols.STAGES) if crossed else [1]:
            for name in names:
                run = protocols.train(
                    arguments.protocol, name, table, photos, settings, arguments.by, seed, stage, arguments.loss,
                    arguments.remedy,
                )  # fmt: skip
                if processes.is_main():
                    scores = runs.scores(run).loc[run.headline].drop(["epoch", "loss"])
                    told = ", ".join(f"{metric.replace('_', ' ')} {value:.3f}" for metric, value in scores.items())
                    print(f"{run.folder.relative_to(settings.runs)}: {told}", flush=True)
    processes.end()


def add_evaluate(commands: argparse._SubParsersAction) -> None:
    """The command ``evaluate``."""
    parser = commands.add_parser(
        "evaluate",
        help="the scores of a finished run, from its predictions",
        description="Print the scores of each checkpoint of a run, computed from the predictions in its folder.",
    )
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="the run's folder, as `python -m isic_utils runs` lists it"
    )
    parser.add_argument("--part", choices=["validation", "test"], default="test", help="on which part; default test")
    parser.set_defaults(run=evaluate)


def evaluate(arguments: argparse.Namespace) -> None:
    """Print the scores of a run."""
    print(runs.scores(run_in(arguments.folder), arguments.part).round(4).to_string())


def run_in(folder: Path) -> runs.Run:
    """The run in a folder, which may be given as `python -m isic_utils runs` lists it."""
    folder = folder if folder.is_dir() else profile.current().runs / folder
    if not (folder / "config.json").exists():
        raise IsicError(f"{folder} is no run's folder: `python -m isic_utils runs` lists those that there are.")
    run = runs.Run(folder)
    if "model" not in run.config:
        raise IsicError(f"{folder / 'config.json'} is no run's: delete the folder and train again.")
    return run


def add_runs(commands: argparse._SubParsersAction) -> None:
    """The command ``runs``."""
    parser = commands.add_parser(
        "runs",
        help="list what has been trained, with its test scores",
        description="List the runs in ISIC_RUNS with their test scores, those of the headline checkpoint.",
    )
    parser.set_defaults(run=list_runs)


def list_runs(arguments: argparse.Namespace) -> None:
    """Print a table of all runs."""
    settings = profile.current()
    table = protocols.overview(settings)
    print(table.round(3).to_string(na_rep="") if len(table) else f"There are no runs in {settings.runs} yet.")


def add_thesis(commands: argparse._SubParsersAction) -> None:
    """The command ``thesis``."""
    parser = commands.add_parser(
        "thesis",
        help="train everything of the thesis, and write a report with its tables beside ours",
        description=(
            "Train everything of the thesis on the pictures of ISIC_DATA, at the size of ISIC_PROFILE: the standard "
            "protocol, U-Net, the balanced protocol, the cross-validation; then answer the official test sets, where "
            "they are in ISIC_DATA. After each training thesis.html is written anew among the runs. You may stop at "
            "any moment (Ctrl-C); the same command goes on from there."
        ),
    )
    parser.add_argument("--report-only", action="store_true", help="train nothing; write the report of what is there")
    parser.set_defaults(run=reproduce)


def reproduce(arguments: argparse.Namespace) -> None:
    """Train everything of the thesis, and write the report."""
    _, failed = thesis.reproduce(profile.current(), train=not arguments.report_only)
    processes.end()
    if failed:
        raise IsicError(
            f"{len(failed)} of the steps could not be done; the report says why. The first: {[*failed][0]}."
        )


def add_doctor(commands: argparse._SubParsersAction) -> None:
    """The command ``doctor``, which is answered above; here it is listed, and does the same for `main`."""
    parser = commands.add_parser("doctor", help=doctor.HELP, add_help=False)
    parser.set_defaults(run=lambda _: doctor.main([]))


def add_predict(commands: argparse._SubParsersAction) -> None:
    """The command ``predict``."""
    parser = commands.add_parser(
        "predict",
        help="what a trained network says of pictures, and when it would rather have an expert asked",
        description=(
            "Say of each picture which diagnoses are likely, how likely a malignant one is, and whether to ask an "
            "expert; or why the picture is refused (lesson 09). " + inference.STATEMENT
        ),
        epilog="Example: python -m isic_utils predict my-pictures --csv answers.csv --save answers",
    )
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="a JPEG or PNG file, or a folder")
    parser.add_argument(
        "--run",
        type=Path,
        metavar="FOLDER",
        dest="classifier",
        help="the run of a classifier, as `python -m isic_utils runs` lists it; default: of those of ISIC_DATA and "
        "ISIC_PROFILE the one with the best BMA on validation (eight classes before five, by lesion before by picture)",
    )
    parser.add_argument(
        "--masks", type=Path, metavar="FOLDER", help="the run of a U-Net, for contours; default: the best, if any"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write a table with a row per picture")
    parser.add_argument(
        "--save", type=Path, metavar="FOLDER", help="also draw each answer, with contour and heat map, into a folder"
    )
    parser.set_defaults(run=predict)


def predict(arguments: argparse.Namespace) -> None:
    """Answer each picture; one that cannot be read does not stop the others."""
    files = inference.files_of(arguments.pictures)  # before anything is loaded
    if arguments.save:
        from isic_course.figures import lesson_09 as drawing  # matplotlib, which no other command needs
    settings = profile.current()
    prepare = protocols.once(settings)
    run = run_in(arguments.classifier) if arguments.classifier else inference.best_run(settings, prepare=prepare)
    mask_run = run_in(arguments.masks) if arguments.masks else inference.best_mask_run(settings)
    opinion = inference.assemble(run, mask_run, settings, prepare=prepare)
    print(f"Classifier: {run.folder}\nContours: {mask_run.folder if mask_run else 'none, no U-Net is trained'}")
    print(inference.STATEMENT + (f" {inference.SYNTHETIC}" if opinion.synthetic else ""), end="\n\n", flush=True)
    rows, unreadable = [], 0
    for number, file in enumerate(files, start=1):
        name = tables.printable(str(file))
        try:
            picture = inference.read(file)
        except IsicError as error:
            rows.append(inference.unreadable_row(name, error))
            print(rows[-1]["refused"], file=sys.stderr, flush=True)
            unreadable += 1
            continue
        said = inference.answer(opinion, picture)
        rows.append(inference.row_of(name, said))
        print(f"{name}: {inference.summary(said)}", flush=True)
        if arguments.save:
            place = arguments.save / f"{number:0{len(str(len(files)))}d}-{tables.printable(file.stem)}.png"
            drawing.save(opinion, picture, said, place)
    if arguments.csv:
        inference.write_csv(arguments.csv, inference.table_of(rows, opinion))
    if unreadable:
        raise IsicError(f"{unreadable:,} of {len(files):,} pictures cannot be read (see above).")


def describe(names: dict[str, str]) -> list[str]:
    """Names with their explanations, for argparse, which takes a per cent sign for its own."""
    return [f"{name}: {text.replace('%', '%%')}" for name, text in names.items()]


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def seed(text: str) -> int:
    """A whole number from 0 to 2^32 - 1, which every generator of chance takes for a seed, for argparse."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise ValueError
    return number


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 not done (the reason is on stderr), 130 stopped by Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m isic_utils",
        description="The course's steps from a shell.",
        epilog="python -m isic_utils COMMAND --help explains a command.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        add_download,
        add_prepare,
        add_train,
        add_thesis,
        add_evaluate,
        add_predict,
        add_runs,
        add_doctor,
    ):
        add(commands)
    chosen = parser.parse_args(arguments)
    try:
        chosen.run(chosen)
    except IsicError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
