"""Formulas as MathML, which browsers and screen readers know by themselves: no script, nothing from elsewhere."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html import HTMLTranslator


def formula(tex: str, **options: str) -> str:
    """A formula as MathML. latex2mathml does not know the operator arg, and puts no space behind ln and log."""
    tex = tex.replace(r"\arg\max", r"\mathrm{arg\,max}")
    return convert(re.sub(r"\\(ln|log)(?=\s+[\\\w])", r"\\\1\\,", tex), **options)


def visit_inline(writer: HTMLTranslator, node: nodes.math) -> None:
    writer.body.append(formula(node.astext()))
    raise nodes.SkipNode


def visit_display(writer: HTMLTranslator, node: nodes.math_block) -> None:
    display = formula(node.astext(), display="block")
    writer.body.append(f'<div class="formula" tabindex="0">{display}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
