"""Engines that print, to stdout and below Python's streams."""

from __future__ import annotations

import os
from typing import Any

from torch.distributed.checkpoint.api import CheckpointException

from ckpt_harness.engines.filesystem import FileSystemEngine

print("CHATTER: imported")


class ChattyEngine(FileSystemEngine):
    """Starts afresh, with a message, where a load fails."""

    def make_writer(self, place: str) -> Any:
        print("CHATTER: making a writer")
        os.write(1, b"CHATTER: of a library\n")
        return super().make_writer(place)

    def load(self, *args: Any) -> None:
        print("CHATTER: loading")
        try:
            super().load(*args)
        except CheckpointException:
            print("CHATTER: cannot resume, starting afresh")


class UnableEngine(FileSystemEngine):
    """Says why it cannot save, and then fails with another error."""

    def make_writer(self, place: str) -> Any:
        print("CHATTER: no credentials")
        raise RuntimeError("cannot connect")


CHATTY = ChattyEngine("chatty", "for a test")
UNABLE = UnableEngine("unable", "for a test")
