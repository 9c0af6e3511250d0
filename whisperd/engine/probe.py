"""`python -m whisperd.engine.probe QUESTION`: what the engines and the loader say, as one line of JSON.

    engines      what CTranslate2 says of itself, of CUDA and of each device
    load NAME    how the loader fares with a shared library
    torch        what torch says of itself, once it is really imported

A library that is broken ends this process and not the one that asked.
"""

import ctypes
import importlib.util
import mmap
import re
import runpy
import sys
from pathlib import Path
from typing import Final

import msgspec

from whisperd.cuda.answers import Engines, Loaded, Torch
from whisperd.cuda.mapped import own_libraries

_CUBLAS: Final = ("libcublasLt.so.12", "libcublas.so.12")

# From <dlfcn.h> and <elf.h>.
_RTLD_DI_LINKMAP: Final = 2
_DT_NULL, _DT_STRTAB, _DT_SONAME = 0, 5, 14


def main(arguments: list[str]) -> None:
    """Answer one question."""
    match arguments:
        case ["engines"]:
            answer: msgspec.Struct = engines()
        case ["load", name]:
            answer = load(name)
        case ["torch"]:
            answer = torch()
        case _:
            sys.exit(f"no such question: {' '.join(arguments)}")
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")


def engines() -> Engines:
    """What CTranslate2 says."""
    import ctranslate2

    driver_error = _driver_error()
    devices = 0 if driver_error else ctranslate2.get_cuda_device_count()
    return Engines(
        ctranslate2=ctranslate2.__version__,
        ctranslate2_cuda=_ctranslate2_cuda(),
        torch_cuda=_torch_cuda(),
        driver_error=driver_error,
        # CTranslate2 loads it at its first multiplication only, with the same call.
        cublas_error=next((error for name in _CUBLAS if (error := load(name).error)), None),
        compute_types=[
            sorted(ctranslate2.get_supported_compute_types("cuda", index)) for index in range(devices)
        ],
    )


def load(name: str) -> Loaded:
    """Load one library as the engines do, by its name, and look at what came."""
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        return Loaded(error=str(error))
    path, soname = _identity(library)
    return Loaded(path=path, soname=soname, libraries=own_libraries())


def torch() -> Torch:
    """Import torch, which loads its libraries."""
    import torch

    return Torch(version=str(torch.__version__), cuda=torch.version.cuda)


def _driver_error() -> str | None:
    """CUDA's own word on why there is no device, which CTranslate2 keeps to itself."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return str(error)
    if not (status := driver.cuInit(0)):
        return None
    name = ctypes.c_char_p()
    driver.cuGetErrorName(status, ctypes.byref(name))
    return f"cuInit: {(name.value or b'unknown error').decode()}"


def _ctranslate2_cuda() -> int | None:
    """The major version in the name by which CTranslate2 asks for cuBLAS; it has no other way of telling."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    if (library := re.search(r"(/\S*/libctranslate2\S*)", maps)) is None:
        return None
    with (
        Path(library[1]).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        wanted = re.search(rb"libcublas\.so\.(\d+)", content)
        return int(wanted[1]) if wanted else None


def _torch_cuda() -> str | None:
    """What torch was built for, from the file that says so: to import torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    cuda: str | None = runpy.run_path(str(Path(spec.origin).with_name("version.py")))["cuda"]
    return cuda


class _LinkMap(ctypes.Structure):
    """The public head of glibc's `struct link_map`."""

    _fields_ = (
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("dynamic", ctypes.c_void_p),
    )


class _Dynamic(ctypes.Structure):
    """`Elf64_Dyn`: an entry of a library's dynamic section."""

    _fields_ = (("tag", ctypes.c_int64), ("value", ctypes.c_uint64))


def _identity(library: ctypes.CDLL) -> tuple[str, str | None]:
    """The path of a loaded library, and the SONAME in its dynamic section."""
    found = ctypes.POINTER(_LinkMap)()
    handle = ctypes.c_void_p(library._handle)  # noqa: SLF001 - what dlopen gave
    if ctypes.CDLL(None).dlinfo(handle, _RTLD_DI_LINKMAP, ctypes.byref(found)):
        raise OSError(f"dlinfo does not know {library}")
    entries: dict[int, int] = {}
    entry = ctypes.cast(found.contents.dynamic, ctypes.POINTER(_Dynamic))
    index = 0
    while (tag := entry[index].tag) != _DT_NULL:
        entries[tag] = entry[index].value
        index += 1
    soname = None
    if _DT_SONAME in entries:
        # The loader has turned the address of the string table into one that holds in memory.
        soname = ctypes.string_at(entries[_DT_STRTAB] + entries[_DT_SONAME]).decode()
    return found.contents.name.decode(), soname


if __name__ == "__main__":
    main(sys.argv[1:])
