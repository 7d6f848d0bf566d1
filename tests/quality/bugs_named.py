"""Planted bugs: a ``CheckpointException`` that names the wrong rank, the wrong error or the wrong step; mostly caught by ``attribution``."""

from __future__ import annotations

from planting import DCP, FAILURES, PLAN, SAVE, WRAP, WRITE, Bug, Edit

from ckpt_harness.campaigns.sweep import Sweep

ONE_RANK = Sweep(("save",), (1,), workload="objects")
_WRAPPED = "return (exc, summary)"

BUGS = (
    Bug("the rank next to the failed one is blamed", ("attribution",), (Edit(FAILURES, "{i: err", "{i + 1: err"),)),
    Bug("rank 0 is always blamed", ("attribution",), (Edit(FAILURES, "{i: err", "{0: err"),)),
    Bug(
        "an error on the coordinator is blamed on rank 0",
        ("attribution",),
        (Edit(PLAN, "node_failures[self.rank] = ", "node_failures[0] = "),),
        Sweep(("save",), (2,), (1,)),
    ),
    Bug(
        "every rank is blamed for the failure of one rank",
        ("attribution",),
        (
            Edit(
                WRITE,
                "result = CheckpointException(step, node_failures)",
                "result = CheckpointException(step, dict.fromkeys(range(self.get_world_size()), next(iter(node_failures.values()))))",
            ),
        ),
    ),
    Bug(
        "only the first of two failures is reported",
        ("attribution",),
        (
            Edit(
                FAILURES,
                "{i: err for i, err in enumerate(results) if _is_wrapped_exception(err)}",
                "dict([(i, err) for i, err in enumerate(results) if _is_wrapped_exception(err)][:1])",
            ),
        ),
        Sweep(("load",), (2,), workload="objects", pairs=True),
    ),
    Bug("an error arrives as another type", ("attribution",), (Edit(WRAP, _WRAPPED, "return (RuntimeError(str(exc)), summary)"),)),
    Bug(
        "an OSError arrives without its errno",
        ("attribution",),
        (Edit(WRAP, _WRAPPED, "return (OSError(str(exc)) if isinstance(exc, OSError) else exc, summary)"),),
        ONE_RANK,
    ),
    Bug(
        "a long message arrives truncated",
        ("attribution",),
        (Edit(WRAP, _WRAPPED, "exc.args = tuple(arg[:1000] if isinstance(arg, str) else arg for arg in exc.args)\nreturn (exc, summary)"),),
        ONE_RANK,
    ),
    Bug(
        "an error is replaced by a timeout",
        ("attribution",),
        (Edit(WRAP, _WRAPPED, 'return (TimeoutError("timed out waiting for the rank"), summary)'),),
    ),
    Bug(
        "a non-ASCII message arrives damaged",
        ("attribution",),
        (
            Edit(
                WRAP,
                _WRAPPED,
                'exc.args = tuple(arg.encode("ascii", "replace").decode() if isinstance(arg, str) else arg for arg in exc.args)\nreturn (exc, summary)',
            ),
        ),
        ONE_RANK,
    ),
    Bug(
        "the text of the exception names no rank",
        ("attribution",),
        (Edit(f"{DCP}.api:CheckpointException.__str__", "return str", 'return "the checkpoint failed"'),),
    ),
    Bug(
        "a failed plan is reported as a failed write",
        ("attribution",),
        (Edit(SAVE, 'distW.reduce_scatter("plan"', 'distW.reduce_scatter("write"'),),
    ),
    Bug(
        "the failures of earlier saves are reported again",
        ("recovery",),
        (
            Edit(
                FAILURES,
                "return cast(",
                'seen = _get_failure_dict.__dict__.setdefault("seen", {})\n'
                "seen.update({i: err for i, err in enumerate(results) if _is_wrapped_exception(err)})\n"
                "return cast(dict[int, WRAPPED_EXCEPTION], seen) if seen else cast(",
            ),
        ),
    ),
)
