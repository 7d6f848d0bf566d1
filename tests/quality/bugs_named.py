"""Planted bugs: who is blamed, and for what."""

from __future__ import annotations

from planting import DCP, FAILURES, PLAN, SAVE, WRAP, WRITE, Bug, Edit

from ckpt_harness.campaigns.sweep import Sweep

ONE_RANK = Sweep(("save",), (1,), workload="objects")
_WRAPPED = "return (exc, summary)"

BUGS = (
    Bug("the rank next to the failed one is blamed", ("attribution",), (Edit(FAILURES, "{i: err", "{i + 1: err"),)),
    Bug("rank 0 is blamed, whoever failed", ("attribution",), (Edit(FAILURES, "{i: err", "{0: err"),)),
    Bug(
        "what fails on the coordinator is blamed on rank 0",
        ("attribution",),
        (Edit(PLAN, "node_failures[self.rank] = ", "node_failures[0] = "),),
        Sweep(("save",), (2,), (1,)),
    ),
    Bug(
        "every rank is blamed for what failed on one",
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
        "of two failures only the first is reported",
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
    Bug("an error is retyped on its way", ("attribution",), (Edit(WRAP, _WRAPPED, "return (RuntimeError(str(exc)), summary)"),)),
    Bug(
        "an OSError loses its errno on its way",
        ("attribution",),
        (Edit(WRAP, _WRAPPED, "return (OSError(str(exc)) if isinstance(exc, OSError) else exc, summary)"),),
        ONE_RANK,
    ),
    Bug(
        "a long message is cut off on its way",
        ("attribution",),
        (Edit(WRAP, _WRAPPED, "exc.args = tuple(one[:1000] if isinstance(one, str) else one for one in exc.args)\nreturn (exc, summary)"),),
        ONE_RANK,
    ),
    Bug(
        "an error is replaced by a timeout",
        ("attribution",),
        (Edit(WRAP, _WRAPPED, 'return (TimeoutError("timed out waiting for the rank"), summary)'),),
    ),
    Bug(
        "text that is not ASCII is lost on its way",
        ("attribution",),
        (
            Edit(
                WRAP,
                _WRAPPED,
                'exc.args = tuple(one.encode("ascii", "replace").decode() if isinstance(one, str) else one for one in exc.args)\nreturn (exc, summary)',
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
