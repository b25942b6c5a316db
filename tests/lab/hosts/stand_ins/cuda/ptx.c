/* Compile and run short PTX kernels on the processor: the arithmetic of the lab's stand-in of libcuda.
 *
 * Source: NVIDIA's "PTX ISA" reference, for the instructions named in MNEMONICS, and the answers that a real driver gave
 * to wrong text (tests/unit/fixtures/h100-cuda-check/answers.json). It runs the text it is given and knows no kernel, so
 * that a kernel with a mistake computes wrongly here as well.
 *
 * Threads run LANES at a time, instruction by instruction. Where they part at a branch each runs by itself from its start.
 */
#include "ptx.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 256, NAME = 32, REGISTERS = 64, INSTRUCTIONS = 128, PARAMETERS = 8, LABELS = 16, OPERANDS = 4 };
enum { NEWEST_VERSION = 90, NEWEST_TARGET = 121, FIRST_VERSION_OF_SM_50 = 40 };
enum { INVALID_IMAGE = 200, INVALID_PTX = 218, UNSUPPORTED_VERSION = 222, ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719 };

enum code { LD_PARAM, LD_GLOBAL, ST_GLOBAL, MOV, MAD_LO, ADD, MUL_WIDE, CVTA, SETP_GE, SETP_LT, BRA, RET };
enum kind { NOTHING, REGISTER, PARAMETER, LABEL, CTAID, NTID, TID };

static const struct {
    const char *name;
    enum code code;
    int operands;
    int bits;
} MNEMONICS[] = {
    {"ld.param.u64", LD_PARAM, 2, 64},   {"ld.param.u32", LD_PARAM, 2, 32},   {"ld.global.u32", LD_GLOBAL, 2, 32},
    {"st.global.u32", ST_GLOBAL, 2, 32}, {"mov.u32", MOV, 2, 32},             {"mov.u64", MOV, 2, 64},
    {"mad.lo.u32", MAD_LO, 4, 32},       {"mad.lo.s32", MAD_LO, 4, 32},       {"add.u32", ADD, 3, 32},
    {"add.s32", ADD, 3, 32},             {"add.u64", ADD, 3, 64},             {"add.s64", ADD, 3, 64},
    {"mul.wide.u32", MUL_WIDE, 3, 32},   {"cvta.to.global.u64", CVTA, 2, 64}, {"setp.ge.u32", SETP_GE, 3, 32},
    {"setp.lt.u32", SETP_LT, 3, 32},     {"bra", BRA, 1, 0},                  {"ret", RET, 0, 0},
};

struct operand {
    enum kind kind;
    uint64_t value; /* the place of a register, a parameter or a label */
};

struct instruction {
    enum code code;
    int bits;
    int guard; /* register of the predicate, or -1 */
    bool guard_not;
    struct operand operands[OPERANDS];
};

struct ptx_kernel {
    char name[NAME];
    char parameters[PARAMETERS][NAME], registers[REGISTERS][NAME], labels[LABELS][NAME];
    int parameter_count, register_count, label_count, count;
    int label_places[LABELS];
    uint64_t constants[REGISTERS]; /* a number in the text is a register that nothing writes */
    struct instruction instructions[INSTRUCTIONS];
};

struct ptx_module {
    struct ptx_kernel kernel; /* one is enough */
};

static bool refuse(const char *why, const char *what) {
    fprintf(stderr, "libcuda (stand-in): ptxas: %s: %s\n", why, what);
    return false;
}

static int find(char names[][NAME], int count, const char *name) {
    for (int place = 0; place < count; place++)
        if (!strcmp(names[place], name)) return place;
    return -1;
}

/* A name at the next free place; a table that is full, or a name that is too long, is refused. */
static bool add(char names[][NAME], int *count, int most, const char *name) {
    if (*count == most || strlen(name) >= NAME) return refuse("too much for this interpreter", name);
    strcpy(names[(*count)++], name);
    return true;
}

/* .reg .b32 %r<8> */
static bool declare(struct ptx_kernel *kernel, const char *statement) {
    char prefix[NAME], name[NAME + 12];
    int count;
    if (sscanf(statement, ".reg .%*s %31[^<]<%d>", prefix, &count) != 2) return refuse("no declaration", statement);
    for (int number = 0; number < count; number++) {
        snprintf(name, sizeof name, "%s%d", prefix, number);
        if (!add(kernel->registers, &kernel->register_count, REGISTERS, name)) return false;
    }
    return true;
}

static bool operand(struct ptx_kernel *kernel, const char *word, struct operand *out) {
    static const struct { const char *name; enum kind kind; } SPECIAL[] = {{"%ctaid.x", CTAID}, {"%ntid.x", NTID}, {"%tid.x", TID}};
    char *end;
    int place;
    for (size_t each = 0; each < sizeof SPECIAL / sizeof *SPECIAL; each++)
        if (!strcmp(word, SPECIAL[each].name)) return out->kind = SPECIAL[each].kind, true;
    if ((place = find(kernel->registers, kernel->register_count, word)) >= 0)
        return out->kind = REGISTER, out->value = place, true;
    if ((place = find(kernel->parameters, kernel->parameter_count, word)) >= 0)
        return out->kind = PARAMETER, out->value = place, true;
    if ((place = find(kernel->labels, kernel->label_count, word)) >= 0)
        return out->kind = LABEL, out->value = place, true;
    uint64_t number = strtoull(word, &end, 0);
    if (!*word || *end) return refuse("unknown name", word);
    out->kind = REGISTER, out->value = kernel->register_count;
    return kernel->constants[out->value] = number, add(kernel->registers, &kernel->register_count, REGISTERS, word);
}

static bool instruction(struct ptx_kernel *kernel, char *statement) {
    struct instruction *out = &kernel->instructions[kernel->count];
    char *save, *word = strtok_r(statement, " \t\n", &save);
    struct operand guard = {NOTHING, 0};
    int count = 0;
    size_t known = 0;
    if (kernel->count == INSTRUCTIONS) return refuse("too long for this interpreter", kernel->name);
    out->guard = -1;
    if (*word == '@') {
        out->guard_not = word[1] == '!';
        if (!operand(kernel, word + 1 + out->guard_not, &guard) || guard.kind != REGISTER) return refuse("no predicate", word);
        out->guard = (int)guard.value;
        if (!(word = strtok_r(NULL, " \t\n", &save))) return refuse("a guard of nothing", kernel->name);
    }
    while (known < sizeof MNEMONICS / sizeof *MNEMONICS && strcmp(word, MNEMONICS[known].name)) known++;
    if (known == sizeof MNEMONICS / sizeof *MNEMONICS) return refuse("unknown instruction", word);
    out->code = MNEMONICS[known].code, out->bits = MNEMONICS[known].bits;
    if (out->guard >= 0 && out->code != BRA) return refuse("only bra may have a guard here", word);
    while ((word = strtok_r(NULL, " ,[]\t\n", &save)))
        if (count == OPERANDS || !operand(kernel, word, &out->operands[count++])) return refuse("operands", MNEMONICS[known].name);
    if (count != MNEMONICS[known].operands) return refuse("number of operands", MNEMONICS[known].name);
    kernel->count++;
    return true;
}

/* The statements between the braces: first the labels, which may be used before they come, then everything. */
static bool body(struct ptx_kernel *kernel, const char *text) {
    for (int pass = 0; pass < 2; pass++) {
        char *copy = strdup(text), *at = copy;
        bool right = true;
        while (right && *(at += strspn(at, " \t\n"))) {
            size_t length = strcspn(at, ":;");
            char end = at[length];
            if (!end) right = refuse("no ; at the end", at);
            at[length] = 0;
            if (!right) break;
            if (end == ':' && !pass) right = add(kernel->labels, &kernel->label_count, LABELS, at);
            if (end == ':' && pass) kernel->label_places[find(kernel->labels, kernel->label_count, at)] = kernel->count;
            if (end == ';' && pass) right = strncmp(at, ".reg", 4) ? instruction(kernel, at) : declare(kernel, at);
            at += length + 1;
        }
        free(copy);
        if (!right) return false;
    }
    return true;
}

/* .visible .entry NAME(.param .u64 a, .param .u32 b) { … } */
static bool entry(struct ptx_kernel *kernel, char *text) {
    char *open = strchr(text, '('), *close = strchr(text, ')'), *from = strchr(text, '{'), *to = strrchr(text, '}'), *save;
    if (!open || !close || !from || !to || sscanf(text, " .visible .entry %31[^( ]", kernel->name) != 1) return refuse("no kernel", text);
    *close = *to = 0;
    for (char *word = strtok_r(open + 1, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        char name[NAME];
        if (sscanf(word, " .param .%*s %31s", name) != 1) return refuse("no parameter", word);
        if (!add(kernel->parameters, &kernel->parameter_count, PARAMETERS, name)) return false;
    }
    return body(kernel, from + 1);
}

int ptx_load(const char *text, struct ptx_module **module) {
    int major, minor, target, width, used = 0;
    if (sscanf(text, " .version %d.%d .target sm_%d%n", &major, &minor, &target, &used) != 3) return INVALID_IMAGE;
    if (major * 10 + minor > NEWEST_VERSION) return UNSUPPORTED_VERSION;
    if (target > NEWEST_TARGET || (target >= 50 && major * 10 + minor < FIRST_VERSION_OF_SM_50)) return INVALID_PTX;
    text += used, used = 0;
    if (sscanf(text, " .address_size %d%n", &width, &used) != 1 || width != 64) return INVALID_PTX;
    *module = calloc(1, sizeof **module);
    char *copy = strdup(text + used);
    bool right = entry(&(*module)->kernel, copy);
    free(copy);
    if (right) return 0;
    ptx_unload(*module);
    return INVALID_PTX;
}

void ptx_unload(struct ptx_module *module) {
    free(module);
}

const struct ptx_kernel *ptx_find(const struct ptx_module *module, const char *name) {
    return strcmp(module->kernel.name, name) ? NULL : &module->kernel;
}

/* What runs: LANES threads of one launch with their registers. */
struct group {
    const struct ptx_kernel *kernel;
    uint64_t (*registers)[LANES];
    uint64_t parameters[PARAMETERS];
    uint64_t first; /* number of the first thread in the launch */
    uint32_t threads; /* of a block */
    int lanes;
    ptx_memory *memory;
    bool stored;
};

/* The values of one operand for every lane: its register, or a copy in room. */
static const uint64_t *values(struct group *group, const struct operand *operand, uint64_t *room) {
    if (operand->kind == REGISTER) return group->registers[operand->value];
    uint64_t block = group->first / group->threads, thread = group->first % group->threads;
    for (int lane = 0; lane < group->lanes; lane++) {
        switch (operand->kind) {
        case PARAMETER: room[lane] = group->parameters[operand->value]; break;
        case CTAID: room[lane] = block; break;
        case TID: room[lane] = thread; break;
        default: room[lane] = group->threads;
        }
        if (++thread == group->threads) thread = 0, block++;
    }
    return room;
}

static int reach(struct group *group, const uint64_t *addresses, const uint64_t *store, uint64_t *load) {
    for (int lane = 0; lane < group->lanes; lane++) {
        uint32_t *word = addresses[lane] % sizeof *word ? NULL : group->memory(addresses[lane], sizeof *word);
        if (!word) return ILLEGAL_ADDRESS;
        if (store) *word = (uint32_t)store[lane];
        else load[lane] = *word;
    }
    return 0;
}

/* Compiled twice, since the wider registers of newer processors take eight lanes at a time; the loader picks. */
#define FOR_THIS_PROCESSOR __attribute__((target_clones("avx2", "default")))

#define EACH_LANE(expression) \
    _Pragma("GCC ivdep") for (int lane = 0; lane < lanes; lane++) { \
        uint64_t a = in[1][lane], b = in[2][lane], c = in[3][lane]; \
        (void)b, (void)c, out[lane] = (expression); \
    } \
    break

FOR_THIS_PROCESSOR static int compute(struct group *group, const struct instruction *at) {
    static _Thread_local uint64_t room[OPERANDS][LANES];
    const uint64_t *in[OPERANDS];
    const int lanes = group->lanes;
    uint64_t mask = at->bits == 32 ? UINT32_MAX : UINT64_MAX, *out = group->registers[at->operands[0].value];
    for (int each = 0; each < OPERANDS; each++)
        in[each] = at->operands[each].kind ? values(group, &at->operands[each], room[each]) : room[each];
    if (at->code == ST_GLOBAL) return group->stored = true, reach(group, in[0], in[1], NULL);
    if (at->operands[0].kind != REGISTER) return LAUNCH_FAILED;
    switch (at->code) {
    case LD_GLOBAL: return reach(group, in[1], NULL, out);
    case MAD_LO: EACH_LANE((uint32_t)((uint32_t)a * (uint32_t)b + (uint32_t)c));
    case ADD: EACH_LANE((a + b) & mask);
    case MUL_WIDE: EACH_LANE((uint64_t)(uint32_t)a * (uint32_t)b);
    case SETP_GE: EACH_LANE((uint32_t)a >= (uint32_t)b);
    case SETP_LT: EACH_LANE((uint32_t)a < (uint32_t)b);
    default: EACH_LANE(a & mask); /* mov, ld.param, cvta: device addresses are global ones */
    }
    return 0;
}

/* How many lanes take this branch. */
FOR_THIS_PROCESSOR static int taken(const struct group *group, const struct instruction *at) {
    int count = 0;
    if (at->guard < 0) return group->lanes;
    for (int lane = 0; lane < group->lanes; lane++) count += (group->registers[at->guard][lane] != 0) != at->guard_not;
    return count;
}

static int run_group(struct group *group);

static int one_by_one(struct group group) {
    int lanes = group.lanes, error = group.stored ? LAUNCH_FAILED : 0;
    for (group.lanes = 1; !error && lanes--; group.first++) error = run_group(&group);
    return error;
}

static int run_group(struct group *group) {
    const struct ptx_kernel *kernel = group->kernel;
    group->stored = false;
    for (int place = 0; place < kernel->count;) {
        const struct instruction *at = &kernel->instructions[place++];
        if (at->code == RET) return 0;
        if (at->code == BRA) {
            int count = taken(group, at);
            if (count && count < group->lanes) return one_by_one(*group);
            if (count) place = kernel->label_places[at->operands[0].value];
            continue;
        }
        int error = compute(group, at);
        if (error) return error;
    }
    return 0;
}

int ptx_run(const struct ptx_kernel *kernel, uint32_t blocks, uint32_t threads, void **arguments, ptx_memory *memory) {
    struct group group = {.kernel = kernel, .threads = threads, .memory = memory};
    uint64_t all = (uint64_t)blocks * threads;
    int error = 0;
    for (int place = 0; place < kernel->count; place++) {
        const struct instruction *at = &kernel->instructions[place];
        if (at->code == LD_PARAM && at->operands[1].kind == PARAMETER)
            memcpy(&group.parameters[at->operands[1].value], arguments[at->operands[1].value], at->bits / 8);
    }
    group.registers = calloc(REGISTERS, sizeof *group.registers);
    for (int place = 0; place < kernel->register_count; place++)
        for (int lane = 0; lane < LANES; lane++) group.registers[place][lane] = kernel->constants[place];
    for (uint64_t first = 0; !error && first < all; first += LANES) {
        group.first = first, group.lanes = all - first < LANES ? (int)(all - first) : LANES;
        error = run_group(&group);
    }
    free(group.registers);
    return error;
}
