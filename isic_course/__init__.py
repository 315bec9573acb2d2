"""The course itself. It imports `isic_utils`, which does not know it.

- ``exercises``: ``check("04.1", answer)``, a module per lesson; ``figures``: what one lesson alone draws
- ``synthetic``: draws the synthetic sample; ``thesis``: published numbers, tables, the report, the official test sets
- ``dial`` (lesson 05), ``linear_probe``, ``features``, ``fine_tuning`` (08), ``odd_images`` (09), ``captioning``,
  ``sentences`` (11): what one lesson alone is about
- ``doctor``, ``self_test``: a report on this installation

From a shell: ``python -m isic_course doctor | thesis``, ``python -m isic_course.synthetic``.
"""
