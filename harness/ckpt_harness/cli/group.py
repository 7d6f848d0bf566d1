"""The command ``ckpt-harness`` itself: its help, how errors are shown, and what happens under a launcher."""

from __future__ import annotations

import sys
from typing import Any

import click

from ckpt_harness import __version__
from ckpt_harness.errors import HarnessError
from ckpt_harness.worlds.launcher import Launch

_LONGEST = 160
"""Characters of a message of click's own, which repeats the value however long it is."""


class Commands(click.Group):
    """Shows errors of the harness as usage errors: one line, exit status 2, never a traceback.

    Under a launcher such as torchrun, rank 0 runs the command and the other ranks serve it. All ranks exit with the status of rank 0.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        if Launch.here() is None:
            return super().main(*args, **kwargs)

        from ckpt_harness.worlds.attached import together

        sys.exit(together(lambda: super(Commands, self).main(*args, **kwargs)))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HarnessError as error:
            raise click.UsageError(str(error), ctx) from error
        except click.UsageError as error:
            message = error.format_message()
            if len(message) <= _LONGEST:
                raise
            half = _LONGEST // 2
            raise click.UsageError(f"{message[:half]} ... {message[-half:]}", error.ctx) from error


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="\b\nStart with: ckpt-harness sweep --ranks 2",
)
@click.version_option(__version__, prog_name="ckpt-harness")
def main() -> None:
    """Injects faults into distributed checkpointing. Checks what every rank saw, and what is left on storage.

    \b
    Exit status:
      0  every claim holds, or its violation is a known finding
      1  a claim is violated
      2  usage error
      3  no verdict: a fault never fired, or the harness cannot tell
    """  # noqa: D301  (\b keeps click from joining the lines)
