"""Ask ``libcuda.so.1`` what it answers to right and wrong calls, each in a process of its own; print a JSON object.

The answers of a real driver are in ``tests/unit/fixtures/h100-cuda-check/answers.json``; the lab's stand-in must give the
same ones. Needs nothing but Python: ``python3 cuda_answers.py [PTX file]``.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PTX = b"""
.version 4.0
.target sm_50
.address_size 64
.visible .entry t9k_store(.param .u64 to)
{
    .reg .b32 %r<2>;
    .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [to];
    cvta.to.global.u64 %rd2, %rd1;
    mov.u32 %r1, 7;
    st.global.u32 [%rd2], %r1;
    ret;
}
"""


class Cuda:
    """The library with a device, a context, a module and memory, as far as they were asked for."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libcuda.so.1")
        self.device, self.context = ctypes.c_int(), ctypes.c_void_p()
        self.module, self.kernel, self.memory = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint64()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.library, name)

    def start(self) -> Cuda:
        assert self.cuInit(0) == 0
        return self

    def open(self) -> Cuda:
        self.start()
        assert self.cuDeviceGet(ctypes.byref(self.device), 0) == 0
        assert self.cuCtxCreate_v2(ctypes.byref(self.context), 4, self.device) == 0
        return self

    def load(self) -> Cuda:
        self.open()
        assert self.cuModuleLoadData(ctypes.byref(self.module), PTX) == 0
        assert self.cuModuleGetFunction(ctypes.byref(self.kernel), self.module, b"t9k_store") == 0
        return self

    def allocate(self, size: int) -> int:
        number: int = self.cuMemAlloc_v2(ctypes.byref(self.memory), ctypes.c_size_t(size))
        return number

    def with_memory(self, size: int = 1024) -> Cuda:
        self.open()
        assert self.allocate(size) == 0
        return self

    def send(self, to: int, size: int) -> int:
        number: int = self.cuMemcpyHtoD_v2(
            ctypes.c_uint64(to), ctypes.create_string_buffer(size), ctypes.c_size_t(size)
        )
        return number

    def fetch(self, source: int, size: int) -> int:
        host = ctypes.create_string_buffer(size)
        number: int = self.cuMemcpyDtoH_v2(host, ctypes.c_uint64(source), ctypes.c_size_t(size))
        return number

    def image(self, text: bytes) -> int:
        number: int = self.open().cuModuleLoadData(ctypes.byref(self.module), text)
        return number

    def launch(self, threads: int, blocks: int, to: int) -> int:
        argument = ctypes.c_uint64(to)
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(argument))
        number: int = self.cuLaunchKernel(self.kernel, blocks, 1, 1, threads, 1, 1, 0, None, arguments, None)
        return number

    def name(self, number: int) -> str | None:
        text = ctypes.c_char_p()
        self.cuGetErrorName(number, ctypes.byref(text))
        return text.value.decode() if text.value else None


def stray(cuda: Cuda) -> list[int]:
    """A kernel that writes to address 16, what the synchronisation says, and the next calls."""
    cuda.load()
    return [cuda.launch(1, 1, 16), cuda.cuCtxSynchronize(), cuda.allocate(16), cuda.cuCtxDestroy_v2(cuda.context)]


def destroyed(cuda: Cuda) -> list[int]:
    cuda.open()
    return [cuda.cuCtxDestroy_v2(cuda.context), cuda.allocate(16), cuda.cuCtxSynchronize()]


def stored(cuda: Cuda) -> list[int]:
    """The one right launch: its answers, and the word that came back."""
    cuda.load()
    host = ctypes.create_string_buffer(4)
    said = [cuda.allocate(64), cuda.launch(1, 1, cuda.memory.value), cuda.cuCtxSynchronize()]
    said.append(cuda.cuMemcpyDtoH_v2(host, cuda.memory, ctypes.c_size_t(4)))
    return [*said, int.from_bytes(host.raw, "little")]


def visible(cuda: Cuda, devices: str) -> list[int]:
    os.environ["CUDA_VISIBLE_DEVICES"] = devices
    count = ctypes.c_int(-1)
    return [cuda.cuInit(0), cuda.cuDeviceGetCount(ctypes.byref(count)), count.value]


QUESTIONS: dict[str, Callable[[Cuda], Any]] = {
    "device before init": lambda cuda: cuda.cuDeviceGet(ctypes.byref(cuda.device), 0),
    "count before init": lambda cuda: cuda.cuDeviceGetCount(ctypes.byref(cuda.device)),
    "context before init": lambda cuda: cuda.cuCtxCreate_v2(ctypes.byref(cuda.context), 0, 0),
    "allocate before init": lambda cuda: cuda.allocate(16),
    "synchronize before init": lambda cuda: cuda.cuCtxSynchronize(),
    "init with flags": lambda cuda: cuda.cuInit(1),
    "init twice": lambda cuda: [cuda.cuInit(0), cuda.cuInit(0)],
    "name of an error before init": lambda cuda: cuda.name(802),
    "names": lambda cuda: {number: cuda.name(number) for number in (0, 1, 2, 3, 100, 101, 200, 201, 218, 222, 500, 700, 719)},
    "name of no error": lambda cuda: cuda.name(12345),
    "device 99": lambda cuda: cuda.start().cuDeviceGet(ctypes.byref(cuda.device), 99),
    "device -1": lambda cuda: cuda.start().cuDeviceGet(ctypes.byref(cuda.device), -1),
    "address of device 99": lambda cuda: cuda.start().cuDeviceGetPCIBusId(ctypes.create_string_buffer(32), 32, 99),
    "address in 5 bytes": lambda cuda: cuda.start().cuDeviceGetPCIBusId(ctypes.create_string_buffer(32), 5, 0),
    "uuid of device 99": lambda cuda: cuda.start().cuDeviceGetUuid(ctypes.create_string_buffer(16), 99),
    "context of device 99": lambda cuda: cuda.start().cuCtxCreate_v2(ctypes.byref(cuda.context), 0, 99),
    "context with unknown flags": lambda cuda: cuda.start().cuCtxCreate_v2(ctypes.byref(cuda.context), 0xFF00, 0),
    "allocate without context": lambda cuda: cuda.start().allocate(16),
    "synchronize without context": lambda cuda: cuda.start().cuCtxSynchronize(),
    "load without context": lambda cuda: cuda.start().cuModuleLoadData(ctypes.byref(cuda.module), PTX),
    "send without context": lambda cuda: cuda.start().send(4096, 16),
    "destroy no context": lambda cuda: cuda.start().cuCtxDestroy_v2(None),
    "destroyed context": destroyed,
    "allocate nothing": lambda cuda: cuda.open().allocate(0),
    "allocate 100 TiB": lambda cuda: cuda.open().allocate(100 << 40),
    "send to nowhere": lambda cuda: cuda.open().send(4096, 16),
    "send too much": lambda cuda: cuda.with_memory().send(cuda.memory.value, 64 << 20),
    "send nothing": lambda cuda: cuda.with_memory().send(cuda.memory.value, 0),
    "fetch from nowhere": lambda cuda: cuda.open().fetch(4096, 16),
    "fetch too much": lambda cuda: cuda.with_memory().fetch(cuda.memory.value, 64 << 20),
    "no image": lambda cuda: cuda.image(b"this is no PTX"),
    "empty image": lambda cuda: cuda.image(b""),
    "broken PTX": lambda cuda: cuda.image(PTX.replace(b"mov.u32 %r1, 7;", b"mov.u32 %r1 7")),
    "PTX of the future": lambda cuda: cuda.image(PTX.replace(b".version 4.0", b".version 99.0")),
    "PTX for a GPU of the future": lambda cuda: cuda.image(PTX.replace(b"sm_50", b"sm_999")),
    "PTX too old for its target": lambda cuda: cuda.image(PTX.replace(b".version 4.0", b".version 3.2")),
    "unknown function": lambda cuda: cuda.load().cuModuleGetFunction(ctypes.byref(cuda.kernel), cuda.module, b"nobody"),
    "launch of 2048 threads": lambda cuda: cuda.load().launch(2048, 1, 16),
    "launch of no block": lambda cuda: cuda.load().launch(1, 0, 16),
    "launch without context": lambda cuda: cuda.start().launch(1, 1, 16),
    "stray kernel": stray,
    "right kernel": stored,
    "no visible device": lambda cuda: visible(cuda, ""),
    "unknown visible device": lambda cuda: visible(cuda, "GPU-00000000-dead-beef-0000-000000000000"),
    "visible device 99": lambda cuda: visible(cuda, "99"),
    "visible device 0": lambda cuda: visible(cuda, "0"),
    "visible devices 0,99,0": lambda cuda: visible(cuda, "0,99"),
}  # fmt: skip


def answer(question: Callable[[Cuda], Any]) -> Any:
    """The answer of a child; ``died`` with the signal where there is none."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(question(Cuda())).encode())
        except BaseException as error:
            os.write(writing, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        text = stream.read()
    status = os.waitpid(pid, 0)[1]
    return json.loads(text) if text else f"died, {status}"


def main() -> None:
    answers = {name: answer(question) for name, question in QUESTIONS.items()}
    text = json.dumps(answers, indent=1) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
