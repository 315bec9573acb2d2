"""``python -m isic_course doctor`` looks at this machine, ``python -m isic_course thesis`` trains all of the thesis.

Only what needs no other package is imported at the top, so that the doctor runs on a broken installation.
"""

import argparse
import sys

from isic_utils.errors import IsicError, exit_status

COMMANDS = {
    "doctor": "say what is installed, which data are found, and whether everything works",
    "thesis": "train everything of the thesis on the images of ISIC_DATA, at the size of ISIC_PROFILE, and write the "
    "report thesis-<profile>.html anew among the runs after each training. You may stop at any moment (Ctrl-C); the "
    "same command continues from there",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 done, 1 not done (the reason is printed), 130 stopped by Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m isic_course")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    doctor, thesis = (commands.add_parser(name, help=text, description=text) for name, text in COMMANDS.items())
    doctor.add_argument("--quick", action="store_true", help="leave out the self-test, which takes up to a minute")
    thesis.add_argument("--report-only", action="store_true", help="train nothing; write the report of what is there")
    chosen = parser.parse_args(arguments)
    if chosen.command == "doctor":
        from isic_course import doctor

        return doctor.main(without_self_test=chosen.quick)
    return exit_status(lambda: reproduce_thesis(train=not chosen.report_only))


def reproduce_thesis(train: bool) -> None:
    """Train everything of the thesis, and write the report. Raises IsicError if not all of it can be done."""
    import torch

    from isic_course.thesis.reproduce import reproduce
    from isic_utils.settings import load_settings
    from isic_utils.training import get_accelerator

    settings = load_settings()
    torch.set_num_threads(settings.threads)
    _, failed = reproduce(settings, train)
    get_accelerator().end_training()
    if failed:
        first = next(iter(failed))
        raise IsicError(f"{len(failed)} of the steps are not done; the report says why. The first: {first}.")


if __name__ == "__main__":
    sys.exit(main())
