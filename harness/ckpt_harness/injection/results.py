"""What a caller receives in place of the real result: an idle success, a wrong list, or damaged bytes."""

from __future__ import annotations

from typing import Any

from ckpt_harness.faults.effects import BitFlip, Effect, TornWrite, Truncate, WrongResult
from ckpt_harness.faults.sites import Site


def skipped(site: Site, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a call that did nothing: its argument where the method transforms an argument, else the value of an idle success.

    Args:
        site: the site of the call.
        args: positional arguments of the call.
        kwargs: keyword arguments of the call.
    """
    if site.name in ("writer.write_data", "reader.read_data"):
        from ckpt_harness import _torch

        return _torch.completed_future([] if site.name == "writer.write_data" else None)
    if site.result in ("argument", "list"):
        return args[0] if args else next(iter(kwargs.values()))
    return None


def wrong(result: Any, effect: WrongResult) -> Any:
    """A wrong result, made from the real one. Of a pair (plans, metadata), only the plans change.

    Args:
        result: a list, a tuple that begins with a list, or a rank's save plan.
        effect: how the result is wrong.

    Example:
        >>> wrong(["plan 0", "plan 1"], WrongResult("short"))
        ['plan 0']
    """
    if effect.kind == "none":
        return None
    if effect.about_parts:
        from ckpt_harness.injection.parts import misstated  # imports torch

        return misstated(result, effect)
    if isinstance(result, tuple):
        return (wrong(result[0], effect), *result[1:])
    return list(result[:-1]) if effect.kind == "short" else [*result[:1], *result]


def damaged(data: bytes, effect: Effect) -> bytes:
    r"""Bytes after an effect has damaged them.

    Args:
        data: the intended bytes.
        effect: BitFlip, Truncate, TornWrite or ZeroFill.

    Example:
        >>> damaged(b"abcd", TornWrite(keep_bytes=2))
        b'ab\x00\x00'
    """
    if isinstance(effect, BitFlip):
        flipped = bytearray(data)
        if flipped:
            flipped[effect.byte % len(flipped)] ^= 1
        return bytes(flipped)
    if isinstance(effect, Truncate):
        return data[: effect.keep_bytes]
    kept = effect.keep_bytes if isinstance(effect, TornWrite) else 0
    return data[:kept] + bytes(max(0, len(data) - kept))
