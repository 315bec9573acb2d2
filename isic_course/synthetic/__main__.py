"""`python -m isic_course.synthetic` draws the sample of the course unless it is there already."""

import time

from isic_course import synthetic

if __name__ == "__main__":
    started = time.perf_counter()
    folder = synthetic.ensure()
    print(f"The synthetic sample is in {folder} ({time.perf_counter() - started:.0f} s).")
