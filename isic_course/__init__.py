"""The course itself. It imports `isic_utils`, which does not know it.

- ``exercises``: ``check("04.1", answer)``, a module per lesson; ``figures``: what one lesson alone draws
- ``synthetic``: draws the synthetic sample; ``thesis``: published numbers, tables, the report, the official test sets
- ``dial`` (lesson 05), ``linear_probe``, ``fine_tuning`` (08), ``shortcut`` (10), ``clinics``, ``odd_images`` (11),
  ``ensemble`` (12), ``captioning``, ``sentences`` (13): what one lesson is about
- ``features`` of a frozen network; ``real_images``: the committed tables of real images
- ``doctor``, ``gpu``, ``self_test``: a report on this installation

From a shell: ``python -m isic_course doctor | thesis``, ``python -m isic_course.synthetic``.
"""
