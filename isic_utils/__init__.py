"""The thin helper package of the course: datasets, models, training, metrics, inference.

Imports run one way: ``settings``, ``datasets``, ``models``, ``metrics``, ``training``, ``inference``. What makes a
course of it (exercises, lesson figures, the synthetic sample, the thesis) is in ``isic_course``.
"""

__version__ = "0.2.0"
