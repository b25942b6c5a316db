"""Test archives in the shape of the real ones: Ubuntu's, and NVIDIA's CUDA repository, before and after branch 590.

``facts/`` is the table: packages, versions, relations, pockets and dates, each with its source. ``table`` reads it,
``ubuntu`` and ``cuda`` make packages of it, ``contents`` puts the lab's stand-ins inside, ``repository`` writes what apt reads,
``shown`` answers as apt-cache does without any apt, ``private_apt`` asks the real apt without a host.
"""
