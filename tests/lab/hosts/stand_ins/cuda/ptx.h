/* A small part of PTX, enough to run short kernels on the processor. Source: NVIDIA's "PTX ISA" reference. */
#ifndef T9K_LAB_PTX_H
#define T9K_LAB_PTX_H

#include <stddef.h>
#include <stdint.h>

struct ptx_module;
struct ptx_kernel;

/* Where a kernel's global memory is: the host's address of size bytes at a device address, or NULL. */
typedef void *ptx_memory(uint64_t address, size_t size);

/* Numbers of CUresult: 0, 200 (no PTX at all), 218 (PTX that does not compile), 222 (PTX of a later driver). */
int ptx_load(const char *text, struct ptx_module **module);
void ptx_unload(struct ptx_module *module);
const struct ptx_kernel *ptx_find(const struct ptx_module *module, const char *name);

/* 0, 700 (a wrong address) or 719 (the kernel does what this interpreter cannot). */
int ptx_run(const struct ptx_kernel *kernel, uint32_t blocks, uint32_t threads, void **arguments, ptx_memory *memory);

#endif
