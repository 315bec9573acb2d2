"""What the course's notebooks call so that a lesson can stay on its subject.

The modules follow the way from the archive to an answer, and each imports only from those before it:

- data: ``errors``, ``files``, ``profile``, ``tables``, ``regions``, ``sample``, ``transfer``, ``unpacking``,
  ``archive``, ``selection``, ``splits``, ``pictures``, ``augmentation``;
- training: ``metrics``, ``statistics``, ``losses``, ``remedies``, ``models``, ``processes``, ``runs``, ``tasks``,
  ``configuration``, ``memory``, ``predicting``, ``training``, ``protocols``, ``fine_tuning``;
- answers: ``masks``, ``answers``, ``calibration``, ``explanations``, ``scope``, ``oddities``,
  ``inference``, ``official``, ``submission``;
- lessons: ``published``, ``figures``, ``diagrams``, ``imbalance``, ``features``, ``heads``, ``sentences``,
  ``captions``, ``figures_remedies``, ``figures_second_opinion``, ``figures_captions``, ``exercises``;
- the whole: ``results``, ``report``, ``thesis``, ``self_test``, ``doctor``, and the shell's commands in ``__main__``.
"""

__version__ = "0.1.0"
