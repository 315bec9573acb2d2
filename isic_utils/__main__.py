"""The course's steps from a shell: ``python -m isic_utils <command>``; ``--help`` explains each."""

import argparse
import sys
from pathlib import Path

from isic_utils import archive, selection
from isic_utils.errors import IsicError

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


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
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
    add_download(commands)
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
