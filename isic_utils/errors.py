"""The one error that the course raises on purpose."""


class IsicError(ValueError):
    """A file or a setting is not as it must be: one sentence that names it, says what is wrong, and what to do."""
