// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Stand-in for nvidia-modeset.ko: nothing but a holder of nvidia.ko, as the real one is on a machine without a display.
 * Read in NVIDIA/open-gpu-kernel-modules, kernel-open/nvidia-modeset/nvidia-modeset-linux.c.
 */
#include <linux/module.h>

int nvidia_get_rm_ops(void);

int nvKmsKapiGetFunctionsTable(void);
int nvKmsKapiGetFunctionsTable(void)
{
	return 0;
}
EXPORT_SYMBOL(nvKmsKapiGetFunctionsTable);

static int __init start(void)
{
	return nvidia_get_rm_ops();
}

static void __exit end(void)
{
}

module_init(start);
module_exit(end);
MODULE_DESCRIPTION("Stand-in for nvidia-modeset (t9k.gpu lab)");
MODULE_VERSION(DRIVER_VERSION);
#ifdef OPEN_MODULES
MODULE_LICENSE("Dual MIT/GPL");
#else
MODULE_LICENSE("NVIDIA");
#endif
