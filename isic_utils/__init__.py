"""The thin helper package of the course: what a student could copy into the next project.

- ``errors``: ``IsicError``; ``files``: written whole or not at all; ``processes``: started, and ended with their caller
- ``settings``: where the data lie, and how large the work is; ``archive``: ISIC's classes and names of files
- ``datasets``: tables, splits, decoded images, PyTorch's Dataset and DataLoader, augmentation, download
- ``models``: the table of all models, and ``create_model``
- ``metrics``: BMA, Jaccard index, confidence intervals, calibration
- ``training``: ``TrainConfig``, the loop, ``fit``, and the ``Run`` that it returns
- ``inference``: test-time augmentation, ensembles, Grad-CAM, out-of-distribution detection, the second opinion
- ``plots``: what several lessons draw

A module imports only from those before it in this list. The course itself (exercises, lesson figures, the synthetic
sample, the thesis) is in ``isic_course``. From a shell: ``python -m isic_utils download |
prepare | train | evaluate | predict | runs``. ``docs/architecture.md`` shows all of it on one page.
"""

__version__ = "0.2.0"
