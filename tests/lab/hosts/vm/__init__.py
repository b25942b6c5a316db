"""Hosts that are virtual machines: real kernels, GRUB, an initramfs, modules that load; the GPU alone is pretended.

``image`` makes what a system boots from, ``packages`` the driver's test packages in it, ``qemu`` speaks with one virtual
machine, ``lifecycle`` brings a lab's up and down. ``hardware`` is the kernel's side of boards that are not there, ``driver`` the source
that dkms builds, ``guest`` what else the image holds. docs/lab.md describes the whole.
"""
