"""`python -m isic_course.synthetic` draws the sample of the course unless it is there already; with
``--without-shortcut``, ``data/sample_without_shortcut`` (docs/teaching.md tells instructors what that is)."""

import argparse
import time

from isic_course import synthetic

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m isic_course.synthetic", description="Draw the synthetic sample.")
    parser.add_argument("--without-shortcut", action="store_true", help="the archive that docs/teaching.md describes")
    shortcut = not parser.parse_args().without_shortcut
    started = time.perf_counter()
    folder = synthetic.ensure(shortcut=shortcut)
    print(f"The synthetic sample is in {folder} ({time.perf_counter() - started:.0f} s).")
