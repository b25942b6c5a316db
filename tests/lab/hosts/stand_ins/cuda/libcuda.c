/* The lab's stand-in of libcuda.so.1: what a CUDA program needs to compute on a GPU that is not there.
 *
 * Sources: the CUDA Driver API reference (names, arguments, numbers of CUresult), and the answers of a real driver to
 * right and wrong calls, taken on an H100 with driver 580.159.04 (tests/unit/fixtures/h100-cuda-check/answers.json, asked
 * by tests/unit/lab/cuda_answers.py; a test puts the same questions to this library). How long it takes: measured there.
 *
 * Devices: /run/gpu-stand-in/cuda, which the lab writes when a driver is "loaded": `driver VERSION`, then a line
 * `gpu ADDRESS UUID NAME` for each GPU, and `switches` where the machine has NVSwitches: then the answer is 802 until a process
 * nv-fabricmanager runs and the fault fabric-in-progress of this boot is over (NVIDIA's "Fabric Manager" User Guide). No file: error 100. Another version than in the name of the file beside
 * this library (libcuda.so.VERSION): 803.
 *
 * Faults: a line of /var/lib/t9k-gpu-lab/faults/cuda, `WHAT [ADDRESS]`. Without an address every GPU has it.
 *   3 34 46 100 802 803 804 805 999   cuInit answers so
 *   2                                 no memory is left
 *   214 220 700 702 719 …             every other number: the kernel ends so
 *   wrong                             one bit of the result is wrong
 *   hang                              cuInit never answers; with an address, the kernel of that GPU never ends
 *   crash                             cuInit ends the process (SIGSEGV)
 *
 * T9K_LAB_CUDA_DEVICES and T9K_LAB_CUDA_FAULT name other files, T9K_LAB_CUDA_PROC another folder of processes,
 * T9K_LAB_CUDA_QUICK leaves the waiting out (tests).
 */
#define _DEFAULT_SOURCE /* not _GNU_SOURCE, with which newer compilers bind sscanf to what older hosts lack */
#include <dlfcn.h>
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ptx.h"

#define API __attribute__((visibility("default")))
enum {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201, NOT_FOUND = 500, NOT_READY = 802, DRIVER_MISMATCH = 803,
};
enum { MOST = 16, MOST_MEMORIES = 64, CONTEXT_FLAGS = 0x1f | 0x20 | 0x40 | 0x80 };

static const struct { int number; const char *name; } NAMES[] = {
    {0, "CUDA_SUCCESS"}, {1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"},
    {3, "CUDA_ERROR_NOT_INITIALIZED"}, {34, "CUDA_ERROR_STUB_LIBRARY"}, {46, "CUDA_ERROR_DEVICE_UNAVAILABLE"},
    {100, "CUDA_ERROR_NO_DEVICE"}, {101, "CUDA_ERROR_INVALID_DEVICE"}, {200, "CUDA_ERROR_INVALID_IMAGE"},
    {201, "CUDA_ERROR_INVALID_CONTEXT"}, {214, "CUDA_ERROR_ECC_UNCORRECTABLE"}, {218, "CUDA_ERROR_INVALID_PTX"},
    {220, "CUDA_ERROR_NVLINK_UNCORRECTABLE"}, {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"}, {500, "CUDA_ERROR_NOT_FOUND"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {702, "CUDA_ERROR_LAUNCH_TIMEOUT"}, {719, "CUDA_ERROR_LAUNCH_FAILED"},
    {802, "CUDA_ERROR_SYSTEM_NOT_READY"}, {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"},
    {804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE"}, {805, "CUDA_ERROR_MPS_CONNECTION_FAILED"}, {999, "CUDA_ERROR_UNKNOWN"},
};
static const int AT_INIT[] = {3, 34, 46, 100, 802, 803, 804, 805, 999};

struct gpu { char address[32], uuid[64], name[64]; };
struct context { int device, error; };
struct memory { uint64_t address; size_t size; char *host; };

static struct gpu gpus[MOST];
static struct memory memories[MOST_MEMORIES];
static int gpu_count;
static bool initialized, switches;
static struct context *current;

static void take(int milliseconds) {
    if (!getenv("T9K_LAB_CUDA_QUICK")) usleep(milliseconds * 1000);
}

static const char *path(const char *variable, const char *usual) {
    return getenv(variable) ? getenv(variable) : usual;
}

/* Whether the fault what stands for this GPU (NULL: for all); *number becomes that of a fault with one, of init or not. */
static bool fault(const char *what, const struct gpu *gpu, bool init, int *number) {
    char line[128], word[32], address[64];
    FILE *file = fopen(path("T9K_LAB_CUDA_FAULT", "/var/lib/t9k-gpu-lab/faults/cuda"), "r");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        int words = sscanf(line, "%31s %63s", word, address), told = atoi(word);
        bool at_init = false;
        for (size_t each = 0; each < sizeof AT_INIT / sizeof *AT_INIT; each++) at_init |= told == AT_INIT[each];
        if (words < 1 || (words == 2 && (!gpu || strcasecmp(address, gpu->address)))) continue;
        if (what) found = !strcmp(word, what) && (words == 2 || !init || !gpu);
        else found = told && told != OUT_OF_MEMORY && at_init == init && (*number = told);
    }
    if (file) fclose(file);
    return found;
}

/* VERSION of the libcuda.so.VERSION beside this library, or where Debian keeps it; empty if there is none. */
static void own_version(char *out, size_t size) {
    static const char *const PATTERNS[] = {"libcuda.so.[0-9]*.[0-9]*", "nvidia/current/libcuda.so.[0-9]*.[0-9]*"};
    struct { const char *file; void *base; const char *name; void *address; } info; /* Dl_info */
    extern int dladdr(const void *, void *);
    char pattern[512];
    glob_t found;
    *out = 0;
    if (!dladdr((const void *)own_version, &info) || !strrchr(info.file, '/')) return;
    for (int each = 0; each < 2 && !*out; each++) {
        snprintf(pattern, sizeof pattern, "%.*s/%s", (int)(strrchr(info.file, '/') - info.file), info.file, PATTERNS[each]);
        if (!glob(pattern, 0, NULL, &found)) snprintf(out, size, "%s", strstr(found.gl_pathv[0], "libcuda.so.") + 11);
        globfree(&found);
    }
}

static const char *devices(void) {
    return path("T9K_LAB_CUDA_DEVICES", "/run/gpu-stand-in/cuda");
}

static bool first_word(char *out, size_t size, const char *file) {
    FILE *stream = fopen(file, "r");
    bool read = stream && fgets(out, size, stream);
    if (stream) fclose(stream);
    if (read) out[strcspn(out, " \n")] = 0;
    return read;
}

static bool manager_runs(void) {
    char name[32], pattern[512];
    bool found = false;
    glob_t processes;
    snprintf(pattern, sizeof pattern, "%s/[0-9]*/comm", path("T9K_LAB_CUDA_PROC", "/proc"));
    if (glob(pattern, 0, NULL, &processes)) return false;
    for (size_t each = 0; each < processes.gl_pathc && !found; each++)
        found = first_word(name, sizeof name, processes.gl_pathv[each]) && !strcmp(name, "nv-fabricmanage");
    globfree(&processes);
    return found;
}

/* The fault fabric-in-progress, as it was when the host booted: a number of seconds since then, or forever. */
static bool fabric_is_slow(void) {
    char file[512], word[32];
    struct stat boot;
    int folder = (int)(strrchr(devices(), '/') - devices());
    snprintf(file, sizeof file, "%.*s/faults/fabric-in-progress", folder, devices());
    if (!first_word(word, sizeof word, file)) return false;
    snprintf(file, sizeof file, "%.*s/boot_id", folder, devices());
    return !strcmp(word, "forever") || (!stat(file, &boot) && time(NULL) - boot.st_mtime < atoi(word));
}

static int read_devices(void) {
    char line[256], loaded[64] = "", own[64];
    FILE *file = fopen(devices(), "r");
    gpu_count = 0, switches = false;
    while (file && fgets(line, sizeof line, file)) {
        struct gpu *gpu = &gpus[gpu_count];
        sscanf(line, "driver %63s", loaded);
        switches |= !strcmp(line, "switches\n");
        if (gpu_count < MOST && sscanf(line, "gpu %31s %63s %63[^\n]", gpu->address, gpu->uuid, gpu->name) == 3) gpu_count++;
    }
    if (file) fclose(file);
    own_version(own, sizeof own);
    return *own && *loaded && strcmp(own, loaded) ? DRIVER_MISMATCH : SUCCESS;
}

/* CUDA_VISIBLE_DEVICES: numbers, or UUIDs or their beginnings; the first that is none ends the list. Without
 * CUDA_DEVICE_ORDER=PCI_BUS_ID the order is "fastest first", which need not be that of the bus: here it is the reverse. */
static void choose_visible(void) {
    struct gpu all[MOST];
    char list[1024], *save, *end;
    int count = gpu_count;
    const char *order = getenv("CUDA_DEVICE_ORDER"), *wanted = getenv("CUDA_VISIBLE_DEVICES");
    for (int each = 0; each < count; each++)
        all[each] = gpus[order && !strcmp(order, "PCI_BUS_ID") ? each : count - 1 - each];
    memcpy(gpus, all, sizeof all);
    if (!wanted) return;
    snprintf(list, sizeof list, "%s", wanted), gpu_count = 0;
    for (char *word = strtok_r(list, ",", &save); word && gpu_count < MOST; word = strtok_r(NULL, ",", &save)) {
        long number = strtol(word, &end, 10);
        if (*end)
            for (number = 0; number < count && strncasecmp(all[number].uuid, word, strlen(word)); number++) {}
        if (number < 0 || number >= count) return;
        gpus[gpu_count++] = all[number];
    }
}

API int cuInit(unsigned flags) {
    int error, number;
    if (flags) return INVALID_VALUE;
    take(initialized ? 0 : 100);
    if (fault("hang", NULL, true, NULL)) for (;;) pause();
    if (fault("crash", NULL, true, NULL)) raise(SIGSEGV);
    if ((error = read_devices())) return error;
    choose_visible();
    if (!gpu_count) return NO_DEVICE;
    if (switches && (!manager_runs() || fabric_is_slow())) return NOT_READY;
    for (int each = 0; each < gpu_count; each++)
        if (fault(NULL, &gpus[each], true, &number)) return number;
    initialized = true;
    return SUCCESS;
}

API int cuGetErrorName(int number, const char **name) {
    *name = NULL;
    for (size_t each = 0; each < sizeof NAMES / sizeof *NAMES; each++)
        if (NAMES[each].number == number) *name = NAMES[each].name;
    return *name ? SUCCESS : INVALID_VALUE;
}

static int device_error(int device) {
    return !initialized ? NOT_INITIALIZED : device < 0 || device >= gpu_count ? INVALID_DEVICE : SUCCESS;
}

API int cuDeviceGetCount(int *count) {
    if (!initialized) return NOT_INITIALIZED;
    *count = gpu_count;
    return SUCCESS;
}

API int cuDeviceGet(int *device, int ordinal) {
    int error = device_error(ordinal);
    if (!error) *device = ordinal;
    return error;
}

API int cuDeviceGetPCIBusId(char *address, int length, int device) {
    int error = device_error(device);
    if (error) return error;
    if (length <= (int)strlen(gpus[device].address)) return INVALID_VALUE;
    strcpy(address, gpus[device].address);
    return SUCCESS;
}

API int cuDeviceGetUuid(unsigned char *uuid, int device) {
    int error = device_error(device), place = 0;
    if (error) return error;
    for (const char *at = gpus[device].uuid + strlen("GPU-"); *at && place < 16; at += *at == '-' ? 1 : 2)
        if (*at != '-') sscanf(at, "%2hhx", &uuid[place++]);
    return SUCCESS;
}

API int cuCtxCreate_v2(struct context **context, unsigned flags, int device) {
    int error = device_error(device);
    if (error) return error;
    if (flags & ~CONTEXT_FLAGS) return INVALID_VALUE;
    take(300);
    current = *context = calloc(1, sizeof **context);
    current->device = device;
    return SUCCESS;
}

API int cuCtxDestroy_v2(struct context *context) {
    if (!initialized) return NOT_INITIALIZED;
    if (!context) return INVALID_VALUE;
    take(90);
    if (context == current) current = NULL;
    free(context);
    return SUCCESS;
}

/* What stands against a call that needs a context; an error of a kernel stays until the context is destroyed. */
static int context_error(void) {
    return !initialized ? NOT_INITIALIZED : !current ? INVALID_CONTEXT : current->error;
}

API int cuModuleLoadData(struct ptx_module **module, const char *image) {
    int error = context_error();
    if (error) return error;
    take(80);
    return ptx_load(image, module);
}

API int cuModuleGetFunction(const struct ptx_kernel **function, const struct ptx_module *module, const char *name) {
    int error = context_error();
    if (error) return error;
    *function = ptx_find(module, name);
    return *function ? SUCCESS : NOT_FOUND;
}

/* Where a device address is on the host, if all of size bytes are of one allocation. */
static void *reach(uint64_t address, size_t size) {
    for (int each = 0; each < MOST_MEMORIES && memories[each].host; each++) {
        const struct memory *memory = &memories[each];
        if (address >= memory->address && size <= memory->size && address - memory->address <= memory->size - size)
            return memory->host + (address - memory->address);
    }
    return NULL;
}

API int cuMemAlloc_v2(uint64_t *address, size_t size) {
    static uint64_t next = 0x7f0000000000;
    int error = context_error(), place = 0;
    if (error) return error;
    if (!size) return INVALID_VALUE;
    while (place < MOST_MEMORIES && memories[place].host) place++;
    if (size > (size_t)1 << 34 || place == MOST_MEMORIES || fault("2", &gpus[current->device], false, NULL)) return OUT_OF_MEMORY;
    memories[place] = (struct memory){next, size, malloc(size)};
    *address = next;
    next += (size + 0x3fffff) & ~(uint64_t)0x1fffff; /* with a gap behind it */
    return memories[place].host ? SUCCESS : OUT_OF_MEMORY;
}

API int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size) {
    int error = context_error();
    if (error || !size) return error;
    if (!reach(to, size)) return INVALID_VALUE;
    memcpy(reach(to, size), from, size);
    return SUCCESS;
}

API int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size) {
    int error = context_error();
    if (error || !size) return error;
    if (!reach(from, size)) return INVALID_VALUE;
    memcpy(to, reach(from, size), size);
    if (fault("wrong", &gpus[current->device], false, NULL)) ((char *)to)[size / 2] ^= 1;
    return SUCCESS;
}

API int cuLaunchKernel(const struct ptx_kernel *kernel, unsigned blocks, unsigned blocks_y, unsigned blocks_z, unsigned threads,
                       unsigned threads_y, unsigned threads_z, unsigned shared, void *stream, void **arguments, void **extra) {
    int error = context_error();
    const struct gpu *gpu;
    if (error) return error;
    if (!blocks || !threads || threads > 1024 || blocks_y * blocks_z * threads_y * threads_z != 1) return INVALID_VALUE;
    if (!kernel || shared || stream || extra) return INVALID_VALUE;
    gpu = &gpus[current->device];
    if (fault("hang", gpu, true, NULL)) current->error = -1;
    else if (!fault(NULL, gpu, false, &current->error)) current->error = ptx_run(kernel, blocks, threads, arguments, reach);
    return SUCCESS; /* a launch does not wait for its end */
}

API int cuCtxSynchronize(void) {
    int error = context_error();
    while (error == -1) pause();
    return error;
}
