"""What the course's notebooks call so that a lesson can stay on its subject.

The modules follow the way from the archive to a figure, and each imports only from those before it: ``profile``,
``sample`` and ``tables``, ``archive`` (with ``transfer``, ``unpacking`` and ``selection``), ``splits``, ``pictures``,
``metrics``, ``models``, ``losses``, ``runs``, ``tasks``, ``training``, ``masks``, ``figures``.
"""

__version__ = "0.1.0"
