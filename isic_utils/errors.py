"""What the course raises for files and settings. Functions of plain arrays raise ValueError, as NumPy does."""


class IsicError(ValueError):
    """A file or a setting is not as it must be: one sentence that names it, says what is wrong, and what to do."""
