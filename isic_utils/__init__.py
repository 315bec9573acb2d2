"""What the course's notebooks call so that a lesson can stay on its subject.

The modules follow the way from the archive to a figure, and each imports only from those before it:
``profile``, ``tables``, ``splits``, ``pictures``, ``models``, ``training``, ``runs``, ``metrics``, ``figures``.
"""

__version__ = "0.1.0"
