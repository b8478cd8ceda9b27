"""NVRTC as CuPy binds it, for the stand-in: what it "compiles" to is the source itself; see standin_cupy.py."""

from __future__ import annotations

ARCHITECTURES = (80, 90, 100)


class NVRTCError(RuntimeError):
    pass


class Nvrtc:
    """The module `cupy.cuda.nvrtc`."""

    NVRTCError = NVRTCError

    def __init__(self) -> None:
        self._programs: dict[int, str] = {}
        self._made: dict[int, str] = {}

    def getVersion(self) -> tuple[int, int]:
        return 0, 0

    def getSupportedArchs(self) -> tuple[int, ...]:
        return ARCHITECTURES

    def createProgram(self, source: str, name: str, headers: tuple[bytes, ...], names: tuple[bytes, ...]) -> int:
        assert isinstance(source, str) and isinstance(name, str) and len(headers) == len(names)
        self._programs[len(self._programs) + 1] = source
        return len(self._programs)

    def compileProgram(self, program: int, options: tuple[str, ...]) -> None:
        """Of options that contradict one another NVRTC takes the last, and says so in a warning that nobody reads."""
        last = dict(option.lstrip("-").partition("=")[::2] for option in options)
        architecture = last.pop("gpu-architecture")
        assert last == {"std": "c++17", "fmad": "false", "prec-div": "true", "prec-sqrt": "true", "ftz": "false"}, last
        self._made[program] = architecture
        if "#error" in self._programs[program]:
            raise NVRTCError("NVRTC_ERROR_COMPILATION (6)")

    def getProgramLog(self, program: int) -> str:
        return 'kernels.cu(1): warning #1: something\nkernels.cu(2): error: #error directive: "wrong"\n'

    def getCUBIN(self, program: int) -> bytes:
        assert self._made[program].startswith("sm_"), "a cubin is requested, but the real architecture is not provided"
        return self._programs[program].encode()  # and a last byte, which CuPy cuts off

    def getPTX(self, program: int) -> bytes:
        return self._programs[program].encode() + b"\0"

    def destroyProgram(self, program: int) -> None:
        del self._made[program]


def text_of(kept: bytes) -> str:
    """The source in a file that was "compiled"."""
    if not kept.endswith(b"\0"):
        raise ValueError("cut short")
    return kept[:-1].decode()
