"""Text that ends where memory ends: whoever reads on is killed by the kernel (SIGSEGV)."""

import ctypes
import mmap

import numpy as np

PAGE = mmap.PAGESIZE


class GuardedText:
    """A room for `size` bytes of text with an unreadable page behind it."""

    def __init__(self, size: int) -> None:
        self.size = -(-size // PAGE) * PAGE
        self._area = mmap.mmap(-1, self.size + PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._area))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if libc.mprotect(start + self.size, PAGE, 0):  # PROT_NONE
            raise OSError(ctypes.get_errno(), "mprotect")
        self._bytes = np.frombuffer(self._area, np.uint8)

    def holding(self, text: bytes) -> memoryview:
        """Return `text` laid down so that its last byte is the last one readable."""
        if len(text) > self.size:
            raise ValueError(f"{len(text)} bytes into {self.size}")
        view = self._bytes[self.size - len(text) : self.size]
        view[:] = np.frombuffer(text, np.uint8)
        return view.data

    def read_past_the_end(self) -> int:
        """Read the first byte behind the text; nobody survives that, which a test shows."""
        return int(self._bytes[self.size])
