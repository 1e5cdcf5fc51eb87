"""A stand-in for torch whose device breaks: after `break_it()` every call fails, as after an illegal access."""

from __future__ import annotations


class cuda:  # noqa: N801  it stands for torch.cuda
    broken = False

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def device_count() -> int:
        return 1

    @classmethod
    def synchronize(cls, device: str) -> None:
        if cls.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nand much more text")


def break_it() -> None:
    cuda.broken = True
