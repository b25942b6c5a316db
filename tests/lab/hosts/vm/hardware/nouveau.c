// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Stand-in for nouveau: takes every display controller of NVIDIA's and does nothing with it. The real one would look for
 * registers that the pretended boards do not have.
 *
 * From drivers/gpu/drm/nouveau/nouveau_drm.c of Linux 6.1: the table of ids (NVIDIA's vendor id, base class display) and
 * that modeset=0 leaves the module loaded but registers no driver.
 */
#include <linux/module.h>
#include <linux/pci.h>

static int nouveau_modeset = -1;
module_param_named(modeset, nouveau_modeset, int, 0400);
MODULE_PARM_DESC(modeset, "enable driver (default: auto, 0 = disabled)");

static const struct pci_device_id table[] = {
	{ PCI_DEVICE(0x10de, PCI_ANY_ID), .class = PCI_BASE_CLASS_DISPLAY << 16, .class_mask = 0xff << 16 },
	{}
};
MODULE_DEVICE_TABLE(pci, table);

static int probe(struct pci_dev *device, const struct pci_device_id *id)
{
	return pci_enable_device(device);
}

static void forget(struct pci_dev *device)
{
	pci_disable_device(device);
}

static struct pci_driver driver = { .name = "nouveau", .id_table = table, .probe = probe, .remove = forget };

static int __init start(void)
{
	return nouveau_modeset ? pci_register_driver(&driver) : 0;
}

static void __exit end(void)
{
	if (nouveau_modeset)
		pci_unregister_driver(&driver);
}

module_init(start);
module_exit(end);
MODULE_DESCRIPTION("Stand-in for nouveau (t9k.gpu lab)");
MODULE_LICENSE("GPL");
