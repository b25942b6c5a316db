// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Stand-in for nvidia-drm.ko: nothing but a holder of nvidia-modeset.ko. Debian loads it at every boot, by way of
 * /etc/modules-load.d/nvidia.conf. Read in NVIDIA/open-gpu-kernel-modules, kernel-open/nvidia-drm/nvidia-drm-linux.c.
 */
#include <linux/module.h>

int nvKmsKapiGetFunctionsTable(void);

static bool modeset;
module_param(modeset, bool, 0400);

static int __init start(void)
{
	return nvKmsKapiGetFunctionsTable();
}

static void __exit end(void)
{
}

module_init(start);
module_exit(end);
MODULE_DESCRIPTION("Stand-in for nvidia-drm (t9k.gpu lab)");
MODULE_VERSION(DRIVER_VERSION);
#ifdef OPEN_MODULES
MODULE_LICENSE("Dual MIT/GPL");
#else
MODULE_LICENSE("NVIDIA");
#endif
