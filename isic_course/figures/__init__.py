"""What one lesson alone draws, a module per lesson; and the pages with sliders of lessons 05 and 09."""

import html
import re

from IPython.display import display

from isic_utils.settings import PROJECT


def show_page(name: str, height: int = 900) -> None:
    """Display docs/<name>.html, which tools/dial_page.py writes. Where a notebook is not trusted, so that no script may
    run, the still figure of that page stands there until the cell is run.

    height: of the frame in pixels.
    """
    page = (PROJECT / "docs" / f"{name}.html").read_text(encoding="utf-8")
    found = re.search(r'<noscript>.*?(<img [^>]*alt="(.*?)"[^>]*>)</noscript>', page, re.DOTALL)
    whole, still, alt = found.group(0, 1, 2)
    frame = f'<iframe srcdoc="{html.escape(page.replace(whole, ""))}" title="{name}, a page with sliders"'
    frame += ' sandbox="allow-scripts" style="position: absolute; inset: 0; width: 100%; height: 100%; border: 0">'
    shown = f'<div style="position: relative; min-height: {height}px">{still}{frame}</iframe></div>'
    display({"text/html": shown, "text/plain": html.unescape(alt)}, raw=True)
