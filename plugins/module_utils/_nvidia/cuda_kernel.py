# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compute on one GPU through ``libcuda.so.1`` alone, and compare every byte. Runs in a child process (``cuda_child``).

Nothing but the driver is needed: the kernel is PTX text that the driver itself compiles. Its target is ``sm_50``
(Maxwell), which every later GPU can be compiled for, and its version is 4.0, the first one that knows this target
(CUDA 6.0; table "PTX Release History" of NVIDIA's PTX ISA): a driver refuses text newer than itself (error 222), never
older text. Calls and their order: CUDA Driver API reference.
"""

from __future__ import annotations

import array
import ctypes
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.cuda_child import Tell

LIBRARY = "libcuda.so.1"
SIZE = 64 * 1024 * 1024
#: Words after which the data repeats: a prime, so that no address line that is stuck maps the data onto itself.
PERIOD = 65521
FACTOR, ADDEND, ROUNDS = 1664525, 1013904223, 16
_WORDS = 1 << 32
_THREADS = 256
#: CU_CTX_SCHED_BLOCKING_SYNC: sleep rather than spin while the GPU works.
_BLOCKING_SYNC = 4
_NAME = b"t9k_mix"

#: out[i] = in[i] after ROUNDS times x * FACTOR + ADDEND.
PTX = f"""
.version 4.0
.target sm_50
.address_size 64
.visible .entry t9k_mix(.param .u64 from, .param .u64 to, .param .u32 words)
{{
    .reg .pred %p<3>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<8>;
    ld.param.u64 %rd1, [from];
    ld.param.u64 %rd2, [to];
    ld.param.u32 %r1, [words];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.u32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra DONE;
    cvta.to.global.u64 %rd3, %rd1;
    cvta.to.global.u64 %rd4, %rd2;
    mul.wide.u32 %rd5, %r5, 4;
    add.u64 %rd6, %rd3, %rd5;
    add.u64 %rd7, %rd4, %rd5;
    ld.global.u32 %r6, [%rd6];
    mov.u32 %r7, 0;
AGAIN:
    mad.lo.u32 %r6, %r6, {FACTOR}, {ADDEND};
    add.u32 %r7, %r7, 1;
    setp.lt.u32 %p2, %r7, {ROUNDS};
    @%p2 bra AGAIN;
    st.global.u32 [%rd7], %r6;
DONE:
    ret;
}}
"""


class CudaError(Exception):
    """A call of the driver did not answer with CUDA_SUCCESS."""

    def __init__(self, call: str, number: int, name: str | None) -> None:
        super().__init__(call, number, name)
        self.fault = {"call": call, "number": number, "name": name}


class Driver:
    """``libcuda.so.1``; every call is told before it is made, so that the parent knows where a child hangs."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        tell({"call": "dlopen"})
        self._library = ctypes.CDLL(LIBRARY)

    def call(self, name: str, *arguments: Any) -> None:
        self._tell({"call": name})
        number = getattr(self._library, name)(*arguments)
        if number:
            raise CudaError(name, number, self._error_name(number))

    def _error_name(self, number: int) -> str | None:
        name = ctypes.c_char_p()
        self._library.cuGetErrorName(number, ctypes.byref(name))
        return (name.value or b"").decode() or None


def check(uuid: str, tell: Tell) -> None:
    """Tell ``found`` (who the GPU is), then ``differing`` bytes and ``seconds``; or ``fault``, or ``missing``."""
    # The one GPU that is meant, whatever else the machine has; and no cache of compiled kernels, which is a file.
    os.environ.update(CUDA_VISIBLE_DEVICES=uuid, CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_CACHE_DISABLE="1")
    start = time.monotonic()
    try:
        differing = _compute(Driver(tell), tell)
    except CudaError as error:
        tell({"fault": error.fault})
    except (OSError, AttributeError) as error:  # no such library, no such symbol in it
        tell({"missing": str(error)})
    else:
        tell({"differing": differing, "seconds": round(time.monotonic() - start, 3)})


def _compute(driver: Driver, tell: Tell) -> int:
    """How many bytes came back wrong."""
    device, context = ctypes.c_int(), ctypes.c_void_p()
    driver.call("cuInit", 0)
    driver.call("cuDeviceGet", ctypes.byref(device), 0)
    tell({"found": _identity(driver, device)})
    driver.call("cuCtxCreate_v2", ctypes.byref(context), _BLOCKING_SYNC, device)
    data, expected = _data(SIZE)
    _round_trip(driver, data)
    driver.call("cuCtxDestroy_v2", context)
    return _differing(data, expected)


def _identity(driver: Driver, device: ctypes.c_int) -> dict[str, str]:
    address, uuid = ctypes.create_string_buffer(32), ctypes.create_string_buffer(16)
    driver.call("cuDeviceGetPCIBusId", address, ctypes.sizeof(address), device)
    driver.call("cuDeviceGetUuid", uuid, device)
    digits = uuid.raw.hex()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return {"pci_address": address.value.decode(), "uuid": f"GPU-{'-'.join(parts)}"}


def _round_trip(driver: Driver, data: bytearray) -> None:
    """Send ``data`` there, compute, and let the result take its place: what is not written back stays wrong."""
    size = len(data)
    host = (ctypes.c_char * size).from_buffer(data)
    module, kernel = ctypes.c_void_p(), ctypes.c_void_p()
    source, target = ctypes.c_uint64(), ctypes.c_uint64()
    words = ctypes.c_uint32(size // 4)
    driver.call("cuModuleLoadData", ctypes.byref(module), PTX.encode())
    driver.call("cuModuleGetFunction", ctypes.byref(kernel), module, _NAME)
    driver.call("cuMemAlloc_v2", ctypes.byref(source), ctypes.c_size_t(size))
    driver.call("cuMemAlloc_v2", ctypes.byref(target), ctypes.c_size_t(size))
    driver.call("cuMemcpyHtoD_v2", source, host, ctypes.c_size_t(size))
    arguments = (ctypes.c_void_p * 3)(*(ctypes.addressof(each) for each in (source, target, words)))
    grid = ((size // 4 + _THREADS - 1) // _THREADS, 1, 1)
    driver.call("cuLaunchKernel", kernel, *grid, _THREADS, 1, 1, 0, None, arguments, None)
    driver.call("cuCtxSynchronize")
    driver.call("cuMemcpyDtoH_v2", host, target, ctypes.c_size_t(size))


def _data(size: int) -> tuple[bytearray, bytes]:
    """Random data that repeats after PERIOD words, and what one period of it must become."""
    period = os.urandom(4 * PERIOD)
    factor, addend = _composed()
    words = array.array("I", period)  # four bytes on every system that has a driver
    expected = array.array("I", ((word * factor + addend) % _WORDS for word in words))
    return bytearray((period * (size // len(period) + 1))[:size]), expected.tobytes()


def _composed() -> tuple[int, int]:
    """ROUNDS rounds as one: factor and addend."""
    factor, addend = 1, 0
    for _round in range(ROUNDS):
        factor, addend = factor * FACTOR % _WORDS, (addend * FACTOR + ADDEND) % _WORDS
    return factor, addend


def _differing(data: bytearray, expected: bytes) -> int:
    count = 0
    for offset in range(0, len(data), len(expected)):
        piece = data[offset : offset + len(expected)]
        if piece != expected[: len(piece)]:
            count += sum(got != wanted for got, wanted in zip(piece, expected))
    return count
