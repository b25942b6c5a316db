// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Stand-in for nvidia-uvm.ko: a character device with a major number of the kernel's choice, held by who opens it, on top of
 * nvidia.ko. Read in NVIDIA/open-gpu-kernel-modules, kernel-open/nvidia-uvm/uvm.c and uvm_common.h.
 */
#include <linux/fs.h>
#include <linux/module.h>

int nvidia_get_rm_ops(void);
static int major;
static const struct file_operations operations = { .owner = THIS_MODULE };

static int __init start(void)
{
	major = register_chrdev(0, "nvidia-uvm", &operations);
	return major < 0 ? major : nvidia_get_rm_ops();
}

static void __exit end(void)
{
	unregister_chrdev(major, "nvidia-uvm");
}

module_init(start);
module_exit(end);
MODULE_DESCRIPTION("Stand-in for nvidia-uvm (t9k.gpu lab)");
MODULE_VERSION(DRIVER_VERSION);
#ifdef OPEN_MODULES
MODULE_LICENSE("Dual MIT/GPL");
#else
MODULE_LICENSE("NVIDIA");
#endif
