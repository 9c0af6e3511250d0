"""What `python -m whisperd.engine.probe` answers: the child and its parent share it."""

from msgspec import Struct

from whisperd.protocol import MappedLibrary


class Engines(Struct, frozen=True, kw_only=True):
    """What CTranslate2 and torch say of themselves and of CUDA here."""

    ctranslate2: str
    """Version."""
    ctranslate2_cuda: int | None
    """Major version of the CUDA that it was built for."""
    torch_cuda: str | None
    """Version of the CUDA that torch was built for."""
    driver_error: str | None = None
    """Why CUDA's driver does not start."""
    cublas_error: str | None = None
    """Why cuBLAS can't be loaded."""
    compute_types: list[list[str]] = []
    """Those that CTranslate2 has for each device."""


class Loaded(Struct, frozen=True, kw_only=True):
    """How the loader fared with one library."""

    error: str | None = None
    """In the loader's words."""
    path: str | None = None
    soname: str | None = None
    """The name that the file gives itself, whatever it is called."""
    libraries: list[MappedLibrary] = []
    """All CUDA libraries that came with it."""


class Torch(Struct, frozen=True, kw_only=True):
    """torch, really imported."""

    version: str
    cuda: str | None
