"""Puts what a benchmark has computed into a page, between two marks that stay there."""


def replaced(page: str, start: str, end: str, text: str) -> str:
    """The page with this text between its marks. Raises ValueError if one of them is missing."""
    before, rest = page.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{text}\n{end}{after}"
