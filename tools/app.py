"""A page on this machine that gives the second opinion of lesson 09 on an image.

    make app        or: python tools/app.py --run RUN

The browser sends the image to this process alone, which keeps it in memory until the page has its opinion: nothing is
written to the disk, and nothing is asked of another machine. It is for learning only, and not a medical device.
"""

import argparse
import logging
import sys
import threading
import webbrowser
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from flask import Flask, Response, abort, render_template, request
from PIL import Image
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server

from isic_utils import plots
from isic_utils.__main__ import second_opinion_of
from isic_utils.errors import IsicError, exit_status
from isic_utils.inference import second_opinion
from isic_utils.inference.second_opinion import STATEMENT, SYNTHETIC_STATEMENT, Opinion, SecondOpinion

MOST_MEGABYTES = 50  # of a file
TOO_LARGE = f"it has more than {MOST_MEGABYTES} MB: choose a smaller one."
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"  # nothing from elsewhere, in no other page


def main() -> int:
    parser = argparse.ArgumentParser(description=f"A page that gives a second opinion on an image. {STATEMENT}")
    parser.add_argument("--run", type=Path, metavar="RUN", help="of a classifier; default: the best one on validation")
    parser.add_argument("--no-browser", action="store_true", help="print the page's address only")
    return exit_status(partial(serve, parser.parse_args()))


def serve(chosen: argparse.Namespace) -> None:
    """Serve the page to the browsers of this machine, at a free port, until Ctrl-C."""
    opinions = second_opinion_of(chosen.run)
    matplotlib.use("Agg")  # which can draw in a thread
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else it prints a line for each request
    server = make_server("127.0.0.1", 0, create_app(opinions), threaded=True)
    address = f"http://127.0.0.1:{server.port}/"
    print(f"Classifier: {opinions.run.folder}\nThe page is {address}, until Ctrl-C.", flush=True)
    if not chosen.no_browser:
        webbrowser.open(address)
    server.serve_forever()


def create_app(opinions: SecondOpinion) -> Flask:
    """The page at /, and at /opinion what `describe` says of the image in a request's body."""
    app = Flask(__name__, static_folder="pages", template_folder="pages")
    app.config["MAX_CONTENT_LENGTH"] = MOST_MEGABYTES * 1_000_000
    said = f"{STATEMENT} {SYNTHETIC_STATEMENT}" if opinions.run.config["synthetic"] else STATEMENT
    one_at_a_time = threading.Lock()  # as matplotlib draws

    @app.before_request
    def refuse_other_sites() -> None:
        ours = request.host.partition(":")[0] in ("127.0.0.1", "localhost")  # no other name that leads here
        if not ours or request.origin not in (None, request.host_url.rstrip("/")):
            abort(403, "another site may not ask: open the address that the program has printed.")

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update({"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})
        return response

    @app.errorhandler(HTTPException)
    def explain(error: HTTPException) -> tuple[dict[str, str], int]:
        return {"fault": TOO_LARGE if error.code == 413 else error.description}, error.code

    @app.get("/")
    def page() -> str:
        return render_template("app.html", statement=said, opinions=opinions, most=MOST_MEGABYTES)

    @app.post("/opinion")
    def opinion() -> dict[str, Any]:
        content = request.get_data(cache=False)  # in memory; the parts of a form would be written to the disk
        try:
            with one_at_a_time:
                return describe(opinions, content)
        except IsicError as error:
            abort(400, str(error))

    return app


def describe(opinions: SecondOpinion, content: bytes) -> dict[str, Any]:
    """What the page shows of an image file: the opinion in words, in numbers (none if it abstains) and in figures.
    Raises IsicError if it cannot be read."""
    opinion, image = second_opinion.opinion_on(opinions, content), second_opinion.read(content)
    image.thumbnail((800, 800))
    with plt.style.context(plots.STYLE):
        shown = [
            {"image": plots.as_html(figure, alt, synthetic=False), "caption": caption}
            for figure, alt, caption in figures(opinions, image, opinion)
        ]
    numbers = {"probabilities": opinion.probabilities.to_dict(), "malignant": opinion.malignant}
    numbers |= {"predicted": opinion.predicted, "threshold": opinions.threshold}
    return {"reason": opinion.reason, "figures": shown} | ({} if opinion.abstained else numbers)


def figures(opinions: SecondOpinion, image: Image.Image, opinion: Opinion) -> Iterator[tuple[plt.Figure, str, str]]:
    """The image with the contour, with the heat map, and the probabilities, as far as there are: each a figure, its
    alternative text and its caption."""
    pixels = np.asarray(image)
    figure, caption = plots.image_grid([pixels], [""], columns=1, side=5), "The image"
    if opinion.contour is not None:
        plots.contour(figure.axes[0], opinion.contour, "white", "-")
        share = f"{opinion.contour.mean():.0%} of the image" if opinion.contour.any() else "nothing"
        caption = f"The contour that the U-Net predicts encloses {share}"
    yield figure, "The image that was chosen.", caption
    if opinion.abstained:
        return
    figure = plots.image_grid([pixels], [""], columns=1, side=5)
    plots.heat_over(figure.axes[0], opinion.heat, pixels.shape[:2])
    yield figure, "A heat map over the image.", f"Yellow: what speaks for {opinion.predicted} (Grad-CAM)"
    figure, axis = plt.subplots(figsize=(4, 3.4))
    plots.probability_bars(axis, opinions, opinion)
    caption = ", ".join(f"{code} {value:.1%}" for code, value in opinion.probabilities.items())
    yield figure, "Bars of the calibrated probabilities, which stand below as numbers.", caption


if __name__ == "__main__":
    sys.exit(main())
