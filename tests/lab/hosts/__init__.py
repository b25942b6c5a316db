"""The embedded lab's hosts: podman containers with systemd, sshd, real apt and dpkg, and stand-ins for GPU hardware.

``machine`` and ``podman`` speak with this machine, ``image`` makes the images (with the archives of
``tests.lab.archive`` inside), ``lifecycle`` brings hosts up and takes them down, ``stand_ins`` is what runs in a host.
docs/lab.md describes the whole.
"""
