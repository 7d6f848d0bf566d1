"""Engines with the process executor that are broken beside findings DCP-021 and DCP-022. Edits of DCP's source do not reach real processes."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from ckpt_harness.engines.base import Call, Saving
from ckpt_harness.engines.filesystem import FileSystemEngine


class SilentEngine(FileSystemEngine):
    """Reports every upload as a success."""

    def async_save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> Saving:
        saving = super().async_save(state, writer, planner, place, call)
        reported: Future[None] = Future()
        saving.upload.add_done_callback(lambda _: reported.set_result(None))
        return Saving(reported, saving.staging)


class WrittenOffEngine(FileSystemEngine):
    """Once an upload has failed, takes the process for dead."""

    failed = False

    def async_save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> Saving:
        if type(self).failed:
            raise RuntimeError("Checkpoint background process is dead. Exit code: 1")
        saving = super().async_save(state, writer, planner, place, call)
        saving.upload.add_done_callback(self._note)
        return saving

    def _note(self, upload: Any) -> None:
        type(self).failed = upload.exception() is not None


SILENT = SilentEngine("silent", "drops every error of the executor", sync_files=False)
WRITTEN_OFF = WrittenOffEngine("written-off", "gives up after the first failure", sync_files=False)
