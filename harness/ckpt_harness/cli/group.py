"""The command ``ckpt-harness`` itself: its help, how errors are shown, and what happens under a launcher."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import traceback
from typing import Any

import click

from ckpt_harness import __version__
from ckpt_harness.cli.console import INTERRUPTED, write_what_cannot_be_encoded_as_escapes
from ckpt_harness.errors import EngineError, HarnessError, InternalError, cut
from ckpt_harness.worlds.launcher import Launch

_LONGEST = 160
"""Characters of a message of click's own, which repeats the value however long it is."""
_LINE = 400
"""Characters of any message."""
OWN_ERROR = 70
"""Exit status for an error of the harness itself (EX_SOFTWARE of sysexits.h)."""


class Commands(click.Group):
    """Shows errors of the harness as usage errors: one line, exit status 2, never a traceback.

    Under a launcher such as torchrun, rank 0 runs the command and the other ranks serve it. All ranks exit with the status of rank 0.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        write_what_cannot_be_encoded_as_escapes(sys.stdout, sys.stderr)
        atexit.register(gc.freeze)  # otherwise the interpreter looks for garbage in all of torch once more: most of a second
        launch = Launch.here()
        if launch is None:
            return super().main(*args, **kwargs)
        if launch.rank:
            os.dup2(2, 1)  # stdout of the job is for the report, which rank 0 prints

        from ckpt_harness.worlds.attached import together

        sys.exit(together(lambda: super(Commands, self).main(*args, **kwargs)))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            status = super().invoke(ctx)
        except EngineError as error:
            raise _Unjudged(cut(str(error), _LINE)) from error
        except InternalError:
            status = _report_own_error()
        except HarnessError as error:
            raise click.UsageError(cut(str(error), _LINE), ctx) from error
        except click.UsageError as error:
            raise click.UsageError(cut(error.format_message(), _LONGEST), error.ctx) from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            status = INTERRUPTED
        except SystemExit as error:  # commands return their status: this is code of an engine or a workload
            raise _Unjudged(f"code of the engine under test called sys.exit({error.code!r}): nothing is judged") from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception:  # noqa: BLE001  (whatever it is, it is a bug of the harness)
            status = _report_own_error()
        return ctx.exit(status or 0)


def _report_own_error() -> int:
    """Prints the traceback of an error of the harness itself. Returns the exit status."""
    click.echo(traceback.format_exc(), err=True)
    click.echo("Error: this is a bug of ckpt-harness, not of the engine under test. Please report the lines above.", err=True)
    return OWN_ERROR


class _Unjudged(click.ClickException):
    """The engine cannot be judged: one line, and the status of a case without a verdict."""

    exit_code = 3


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
      3  no verdict: a fault never fired, the engine fails with no fault, or the harness cannot tell
      70  the harness itself failed
      130  interrupted by Ctrl-C; the summary is about the cases that ran
    """  # noqa: D301  (\b keeps click from joining the lines)
