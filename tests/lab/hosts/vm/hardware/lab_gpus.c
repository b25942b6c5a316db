// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Put PCI functions on this machine's bus that are not there: a configuration space of 256 bytes, no memory, no interrupt.
 *
 * QEMU has no device with NVIDIA's ids, so the kernel itself gets a host bridge whose configuration space is this module's,
 * as drivers/pci/controller/vmd.c makes one. Everything behind it is the kernel's: sysfs, uevents with their modalias, udev's
 * loading of modules, the binding of drivers, lspci.
 *
 *   echo "18 0 20f1 030200 1 GPU-... NVIDIA A100-PCIE-40GB" > /sys/module/lab_gpus/parameters/add
 *   echo "18 0" > /sys/module/lab_gpus/parameters/remove        (it fell off the bus)
 *
 * Bus and device number, device id and class in hexadecimal; whether the board runs on GSP firmware by default; UUID; name.
 * Name, UUID and that flag stand in the device's own part of the configuration space, where the driver's stub reads them.
 */
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "board.h"

#define SIZE 256

struct lab_bus {
	struct list_head list;
	struct pci_sysdata sysdata;
	struct resource numbers;
	struct pci_bus *bus;
	u8 *config[32];
};

static LIST_HEAD(buses);
static DEFINE_MUTEX(lock);

static u8 *config_of(struct pci_bus *bus, unsigned int devfn, int where, int size)
{
	struct lab_bus *own = container_of(bus->sysdata, struct lab_bus, sysdata);

	return PCI_FUNC(devfn) || where + size > SIZE ? NULL : own->config[PCI_SLOT(devfn)];
}

static int config_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *value)
{
	u8 *config = config_of(bus, devfn, where, size);

	*value = ~0;
	if (!config)
		return PCIBIOS_DEVICE_NOT_FOUND;
	*value = 0;
	memcpy(value, config + where, size);
	return PCIBIOS_SUCCESSFUL;
}

/* Only the command register keeps what is written: a base address register that stays 0 has no memory behind it. */
static int config_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 value)
{
	u8 *config = config_of(bus, devfn, where, size);

	if (!config)
		return PCIBIOS_DEVICE_NOT_FOUND;
	if (where == PCI_COMMAND)
		memcpy(config + where, &value, min(size, 2));
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops ops = { .read = config_read, .write = config_write };

static struct lab_bus *find(unsigned int number)
{
	struct lab_bus *own;

	list_for_each_entry(own, &buses, list)
		if (own->numbers.start == number)
			return own;
	return NULL;
}

static struct lab_bus *make(unsigned int number)
{
	struct lab_bus *own = kzalloc(sizeof(*own), GFP_KERNEL);
	LIST_HEAD(resources);

	if (!own)
		return NULL;
	own->sysdata.node = 0;
	own->numbers = (struct resource){ .start = number, .end = number, .flags = IORESOURCE_BUS, .name = "lab_gpus" };
	pci_add_resource(&resources, &own->numbers);
	own->bus = pci_create_root_bus(NULL, number, &ops, &own->sysdata, &resources);
	if (!own->bus) {
		pci_free_resource_list(&resources);
		kfree(own);
		return NULL;
	}
	list_add(&own->list, &buses);
	return own;
}

static void fill(u8 *config, unsigned int device, unsigned int class)
{
	*(u16 *)(config + PCI_VENDOR_ID) = 0x10de;
	*(u16 *)(config + PCI_DEVICE_ID) = device;
	*(u32 *)(config + PCI_CLASS_REVISION) = class << 8 | 0xa1;
	*(u16 *)(config + PCI_SUBSYSTEM_VENDOR_ID) = 0x10de;
	*(u16 *)(config + PCI_SUBSYSTEM_ID) = device;
}

static int add(const char *text, const struct kernel_param *param)
{
	unsigned int number, slot, device, class, gsp;
	struct lab_bus *own;
	int start = 0, result = -EEXIST;
	char uuid[BOARD_UUID_SIZE];
	u8 *config;

	if (sscanf(text, "%x %x %x %x %u %47s %n", &number, &slot, &device, &class, &gsp, uuid, &start) < 6 || slot > 31)
		return -EINVAL;
	config = kzalloc(SIZE, GFP_KERNEL);
	if (!config)
		return -ENOMEM;
	fill(config, device, class);
	config[BOARD_GSP] = !!gsp;
	strscpy(config + BOARD_UUID, uuid, BOARD_UUID_SIZE);
	strscpy(config + BOARD_NAME, start ? text + start : "", BOARD_NAME_SIZE);
	strim(config + BOARD_NAME);
	mutex_lock(&lock);
	pci_lock_rescan_remove();
	own = find(number) ?: make(number);
	if (own && !own->config[slot]) {
		own->config[slot] = config;
		pci_scan_slot(own->bus, PCI_DEVFN(slot, 0));
		pci_bus_add_devices(own->bus);
		result = 0;
	} else {
		kfree(config);
	}
	pci_unlock_rescan_remove();
	mutex_unlock(&lock);
	return result;
}

static int drop(const char *text, const struct kernel_param *param)
{
	unsigned int number, slot;
	struct lab_bus *own;
	struct pci_dev *device;
	int result = -ENODEV;

	if (sscanf(text, "%x %x", &number, &slot) != 2 || slot > 31)
		return -EINVAL;
	mutex_lock(&lock);
	own = find(number);
	device = own ? pci_get_slot(own->bus, PCI_DEVFN(slot, 0)) : NULL;
	if (device) {
		pci_stop_and_remove_bus_device_locked(device);
		pci_dev_put(device);
		kfree(own->config[slot]);
		own->config[slot] = NULL;
		result = 0;
	}
	mutex_unlock(&lock);
	return result;
}

static const struct kernel_param_ops add_ops = { .set = add };
static const struct kernel_param_ops remove_ops = { .set = drop };

module_param_cb(add, &add_ops, NULL, 0200);
module_param_cb(remove, &remove_ops, NULL, 0200);
MODULE_DESCRIPTION("PCI functions that are not there (t9k.gpu lab)");
MODULE_LICENSE("GPL");
