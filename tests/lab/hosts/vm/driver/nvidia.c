// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Stand-in for nvidia.ko: binds NVIDIA's display controllers and says of itself what the real module says. Drives nothing.
 *
 * Read in NVIDIA/open-gpu-kernel-modules, kernel-open/nvidia: nv-procfs.c (the files below /proc/driver/nvidia and the form of
 * each line), nv-reg.h (names and defaults of the parameters; the capture h200-sxm-580-open has the same), nv-pci-table.c (VGA
 * and 3D controllers), nv.c (module_init fails with ENODEV where no GPU was probed and names the rivals; character major 195,
 * minor 255 for nvidiactl; an open file holds the module). The kernel log's sentences are those that users post.
 * Proprietary modules obey NVreg_EnableGpuFirmware=0; open ones show the value and go on using GSP (issue 820 there).
 *
 * DRIVER_VERSION and OPEN_MODULES come from dkms.conf through the Makefile: the version follows the package.
 */
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "board.h"

#define MAJOR_NUMBER 195
#define CONTROL_MINOR 255
#define MOST_GPUS 32
#ifdef OPEN_MODULES
#define KIND "Open Kernel Module for x86_64"
#define LICENCE "Dual MIT/GPL"
#else
#define KIND "x86_64 Kernel Module"
#define LICENCE "NVIDIA"
#endif

/* Name and default of each parameter, in the order of /proc/driver/nvidia/params. */
#define PARAMETERS(X)                                                                                              \
	X(ResmanDebugLevel, ~0)                                                                                    \
	X(RmLogonRC, 1)                                                                                            \
	X(ModifyDeviceFiles, 1)                                                                                    \
	X(DeviceFileUID, 0)                                                                                        \
	X(DeviceFileGID, 0)                                                                                        \
	X(DeviceFileMode, 0666)                                                                                    \
	X(InitializeSystemMemoryAllocations, 1)                                                                    \
	X(UsePageAttributeTable, ~0)                                                                               \
	X(EnableMSI, 1)                                                                                            \
	X(EnablePCIeGen3, 0)                                                                                       \
	X(MemoryPoolSize, 0)                                                                                       \
	X(KMallocHeapMaxSize, 0)                                                                                   \
	X(VMallocHeapMaxSize, 0)                                                                                   \
	X(IgnoreMMIOCheck, 0)                                                                                      \
	X(EnableStreamMemOPs, 0)                                                                                   \
	X(EnableUserNUMAManagement, 1)                                                                             \
	X(NvLinkDisable, 0)                                                                                        \
	X(RmProfilingAdminOnly, 1)                                                                                 \
	X(PreserveVideoMemoryAllocations, 0)                                                                       \
	X(EnableS0ixPowerManagement, 0)                                                                            \
	X(S0ixPowerManagementVideoMemoryThreshold, 256)                                                            \
	X(DynamicPowerManagement, 3)                                                                               \
	X(DynamicPowerManagementVideoMemoryThreshold, 200)                                                         \
	X(RegisterPCIDriver, 1)                                                                                    \
	X(EnablePCIERelaxedOrderingMode, 0)                                                                        \
	X(EnableResizableBar, 0)                                                                                   \
	X(EnableGpuFirmware, 18)                                                                                   \
	X(EnableGpuFirmwareLogs, 2)                                                                                \
	X(EnableDbgBreakpoint, 0)                                                                                  \
	X(OpenRmEnableUnsupportedGpus, 0)                                                                          \
	X(DmaRemapPeerMmio, 1)

#define DECLARE(name, value)                                                                                       \
	static unsigned int NVreg_##name = value;                                                                  \
	module_param(NVreg_##name, uint, 0);
PARAMETERS(DECLARE)

static struct pci_dev *gpus[MOST_GPUS];
static struct proc_dir_entry *proc_root, *proc_gpus;

/* What the other modules of the driver need from this one: the kernel counts them as its holders. */
int nvidia_get_rm_ops(void);
int nvidia_get_rm_ops(void)
{
	return 0;
}
EXPORT_SYMBOL(nvidia_get_rm_ops);

static void board_text(struct pci_dev *gpu, int where, char *text, int size)
{
	int i;

	for (i = 0; i < size; i += 4)
		pci_read_config_dword(gpu, where + i, (u32 *)(text + i));
	text[size - 1] = 0;
}

static bool on_gsp(struct pci_dev *gpu)
{
	u8 usual = 0;

#ifdef OPEN_MODULES
	return true;
#endif
	pci_read_config_byte(gpu, BOARD_GSP, &usual);
	return NVreg_EnableGpuFirmware == 18 ? usual : NVreg_EnableGpuFirmware & 1;
}

static int minor_of(struct pci_dev *gpu)
{
	int i;

	for (i = 0; i < MOST_GPUS; i++)
		if (gpus[i] == gpu)
			return i;
	return -1;
}

static int show_version(struct seq_file *file, void *unused)
{
	seq_printf(file, "NVRM version: NVIDIA UNIX %s  %s  Release Build  (stand-in)\n", KIND, DRIVER_VERSION);
	seq_printf(file, "GCC version:  gcc version %s\n", __VERSION__);
	return 0;
}

static int show_params(struct seq_file *file, void *unused)
{
#define SHOW(name, value) seq_printf(file, #name ": %u\n", NVreg_##name);
	PARAMETERS(SHOW)
	seq_puts(file, "RegistryDwords: \"\"\nRegistryDwordsPerDevice: \"\"\nRmMsg: \"\"\nGpuBlacklist: \"\"\n");
	seq_puts(file, "TemporaryFilePath: \"\"\nExcludedGpus: \"\"\n");
	return 0;
}

static int show_information(struct seq_file *file, void *unused)
{
	struct pci_dev *gpu = file->private;
	char name[BOARD_NAME_SIZE], uuid[BOARD_UUID_SIZE];

	board_text(gpu, BOARD_NAME, name, sizeof(name));
	board_text(gpu, BOARD_UUID, uuid, sizeof(uuid));
	seq_printf(file, "Model: \t\t %s\nIRQ:   \t\t %d\nGPU UUID: \t %s\n", name, gpu->irq, uuid);
	seq_puts(file, "Video BIOS: \t 00.00.00.00.00\nBus Type: \t PCIe\nDMA Size: \t 47 bits\n");
	seq_printf(file, "DMA Mask: \t 0x7fffffffffff\nBus Location: \t %s\n", pci_name(gpu));
	seq_printf(file, "Device Minor: \t %d\n", minor_of(gpu));
	if (on_gsp(gpu))
		seq_printf(file, "GPU Firmware: \t %s\n", DRIVER_VERSION);
	seq_puts(file, "GPU Excluded:\t No\n");
	return 0;
}

static int open_device(struct inode *inode, struct file *file)
{
	unsigned int minor = iminor(inode);

	return minor == CONTROL_MINOR || (minor < MOST_GPUS && gpus[minor]) ? 0 : -ENODEV;
}

static const struct file_operations operations = { .owner = THIS_MODULE, .open = open_device };

static const struct pci_device_id table[] = {
	{ PCI_DEVICE(0x10de, PCI_ANY_ID), .class = PCI_CLASS_DISPLAY_VGA << 8, .class_mask = ~0 },
	{ PCI_DEVICE(0x10de, PCI_ANY_ID), .class = PCI_CLASS_DISPLAY_3D << 8, .class_mask = ~0 },
	{}
};
MODULE_DEVICE_TABLE(pci, table);

static int probe(struct pci_dev *gpu, const struct pci_device_id *id)
{
	int minor = minor_of(NULL);
	struct proc_dir_entry *folder;

	if (minor < 0 || pci_enable_device(gpu))
		return -ENODEV;
	gpus[minor] = gpu;
	folder = proc_mkdir(pci_name(gpu), proc_gpus);
	proc_create_single_data("information", 0444, folder, show_information, gpu);
	return 0;
}

static void forget(struct pci_dev *gpu)
{
	remove_proc_subtree(pci_name(gpu), proc_gpus);
	gpus[minor_of(gpu)] = NULL;
	pci_disable_device(gpu);
}

static struct pci_driver driver = { .name = "nvidia", .id_table = table, .probe = probe, .remove = forget };

static int count_devices(void)
{
	struct pci_dev *device = NULL;
	int count = 0;

	while ((device = pci_get_device(0x10de, PCI_ANY_ID, device)))
		count += device->class == PCI_CLASS_DISPLAY_3D << 8 || device->class == PCI_CLASS_DISPLAY_VGA << 8;
	return count;
}

static int no_gpus(void)
{
	int there = count_devices();

	if (!there) {
		pr_err("NVRM: No NVIDIA GPU found.\n");
		return -ENODEV;
	}
	pr_err("NVRM: The NVIDIA probe routine was not called for %d device(s).\n", there);
	pr_err("NVRM: This can occur when a driver such as:\nNVRM: nouveau, rivafb, nvidiafb or rivatv\n"
	       "NVRM: was loaded and obtained ownership of the NVIDIA device(s).\n");
	pr_err("NVRM: No NVIDIA devices probed.\n");
	return -ENODEV;
}

static int __init start(void)
{
	int result = register_chrdev(MAJOR_NUMBER, "nvidia-frontend", &operations);

	if (result < 0)
		return result;
	proc_root = proc_mkdir("driver/nvidia", NULL);
	proc_gpus = proc_mkdir("gpus", proc_root);
	proc_create_single_data("version", 0444, proc_root, show_version, NULL);
	proc_create_single_data("params", 0444, proc_root, show_params, NULL);
	result = pci_register_driver(&driver);
	if (!result && !gpus[0]) {
		pci_unregister_driver(&driver);
		result = no_gpus();
	}
	if (result) {
		proc_remove(proc_root);
		unregister_chrdev(MAJOR_NUMBER, "nvidia-frontend");
		return result;
	}
	pr_info("NVRM: loading NVIDIA UNIX %s  %s  (stand-in)\n", KIND, DRIVER_VERSION);
	return 0;
}

static void __exit end(void)
{
	pci_unregister_driver(&driver);
	proc_remove(proc_root);
	unregister_chrdev(MAJOR_NUMBER, "nvidia-frontend");
}

module_init(start);
module_exit(end);
MODULE_DESCRIPTION("Stand-in for the NVIDIA driver (t9k.gpu lab)");
MODULE_VERSION(DRIVER_VERSION);
MODULE_LICENSE(LICENCE);
