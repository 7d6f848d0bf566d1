"""The part that each operation of a case plays: ``save[1]`` runs under the plan, ``save[2]`` is the retry, a load reads back."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.judging.evidence import StorageEvidence


def with_part(case: Case, operation: str) -> str:
    """The name of an operation, with its part in the case.

    Args:
        case: the case, settled.
        operation: an operation that its ranks did, such as ``save[2]``.

    Example:
        >>> with_part(Case(), "save[1]")
        'save[1]'
        >>> with_part(Case(), "save[2]")
        'save[2], the retry'
        >>> with_part(Case(operation="async_save", overlap="shared"), "async_save[2]")
        'async_save[2], at the same time as async_save[1]'
    """
    planned = case.operations
    if operation == planned[0]:
        return operation
    if operation in planned:
        return f"{operation}, at the same time as {planned[0]}"
    number = int(operation.rpartition("[")[2].rstrip("]"))
    repeated = f" of {planned[number - len(planned) - 1]}" if len(planned) > 1 else ""
    return f"{operation}, the retry{repeated}"


def retry_of(case: Case) -> str:
    """The name of the retry, with its part in the case.

    Example:
        >>> retry_of(Case(operation="load"))
        'load[2], the retry'
    """
    return with_part(case, f"{case.operation}[{len(case.operations) + 1}]") if len(case.operations) == 1 else "the retry"


def stored(result: CaseResult) -> Iterator[str]:
    """What each operation left on storage, and what fresh ranks read back from there, line by line.

    Args:
        result: a case that has run.
    """
    loads = 0
    for operation, groups in result.evidence.storage.items():
        for storage in groups:
            saved = with_part(result.case, operation)
            if len(groups) > 1:
                saved += f" by ranks {', '.join(map(str, storage.ranks))}"
            yield from _left(saved, storage)
            for how in storage.mismatches or storage.replaced:
                loads += 1
                yield f"load[{loads}], reading back {operation} on {how}: {_read_back(storage, how)}"
    evidence = result.evidence
    if result.case.operation != "load" and evidence.retry and all(outcome.kind == "returned" for outcome in evidence.retry.values()):
        yield f"load[{loads + 1}], reading back {retry_of(result.case)}: {_wrong(evidence.retry_mismatches)}"


def _left(saved: str, storage: StorageEvidence) -> Iterator[str]:
    if storage.committed is not None:
        yield f"{saved}: {'a' if storage.committed else 'no new'} commit marker"
    for checkpoint, change in storage.damaged.items():
        yield f"{saved}: changed {checkpoint}: {change}"


def _read_back(storage: StorageEvidence, how: str) -> str:
    if how in storage.mismatches:
        return _wrong(storage.mismatches[how])
    return f"shows {storage.replaced[how]}"


def _wrong(mismatches: tuple[str, ...]) -> str:
    if not mismatches:
        return "everything as saved"
    more = f", and {len(mismatches) - 1} more" if len(mismatches) > 1 else ""
    return f"{mismatches[0]}{more}"
