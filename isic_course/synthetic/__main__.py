"""`python -m isic_course.synthetic` draws the sample of the course unless it is there already."""

import argparse
import time

from isic_course import synthetic

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m isic_course.synthetic", description="Draw the synthetic sample.")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws another sample (default: 0)")
    parser.add_argument(
        "--without-shortcut",
        action="store_true",
        help="draw data/sample_without_shortcut: the same images without what data/README.md tells instructors",
    )
    arguments = parser.parse_args()
    started = time.perf_counter()
    folder = synthetic.ensure(seed=arguments.seed, shortcut=not arguments.without_shortcut)
    print(f"The synthetic sample is in {folder} ({time.perf_counter() - started:.0f} s).")
