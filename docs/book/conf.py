"""Sphinx's settings for the course as a book: `make book`. Everything that a page needs lies beside it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "Deep learning for skin lesions"
author = "the authors of this course"
html_title = project
language = "en"

extensions = ["myst_nb", "mathml"]
nb_execution_mode = "off"  # the notebooks are committed executed
myst_enable_extensions = ["dollarmath", "amsmath", "attrs_inline"]
myst_heading_anchors = 4
myst_dmath_allow_labels = False
html_math_renderer = "mathml"

html_theme = "sphinx_book_theme"
html_theme_options = {
    "use_download_button": False,  # it would need the notebooks' folder beside the pages
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the search is in the sidebar
}
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
