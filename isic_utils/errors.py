"""What the course raises for files and settings. Functions of plain arrays raise ValueError, as NumPy does."""

import sys
from collections.abc import Callable


class IsicError(ValueError):
    """A file or a setting is not as it must be: one sentence that names it, says what is wrong, and what to do."""


def exit_status(command: Callable[[], object]) -> int:
    """Run a command of the shell: 0 done, 1 not done (the reason is on stderr), 130 stopped by Ctrl-C."""
    try:
        command()
    except (IsicError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the same command continues from here.", file=sys.stderr)
        return 130
    return 0
