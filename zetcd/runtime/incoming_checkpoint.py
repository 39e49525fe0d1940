"""Responsible for the file of a checkpoint that a peer is sending: growing, kept for resumption, verified, named.

Its name says which checkpoint and which content it is the beginning of, so that a later process goes on
where this one stopped. What it holds after a crash of the operating system may be anything; the digest of
the whole is compared before it becomes a checkpoint.
"""

from __future__ import annotations

import re
from typing import Final

from zetcd.errors import CorruptCheckpoint
from zetcd.runtime.checkpoint_files import CheckpointFiles, Verification, read_info
from zetcd.runtime.files import File
from zetcd.snapshot.checkpoint_format import INCOMING_PREFIX, PARTIAL_SUFFIX, CheckpointName
from zetcd.snapshot.receiving import NOTHING, Held, Received

_NAME: Final = re.compile(
    re.escape(INCOMING_PREFIX)
    + r"([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{64})"
    + re.escape(PARTIAL_SUFFIX),
    re.ASCII,
)
#: Sent to the disk after so many bytes, so that the disk never owes it all at once to the log beside it.
_FLUSH_BYTES: Final = 4 * 1024 * 1024


class IncomingCheckpoint:
    """One checkpoint on its way in."""

    def __init__(self, files: CheckpointFiles, name: CheckpointName) -> None:
        """Look for what an earlier try has left of ``name``, and remove what belongs to others."""
        self._files = files
        self.name = name
        self._file: File | None = None
        self._file_name = ""
        self._digest = b""
        self._length = 0
        self._flushed = 0
        self._verification: Verification | None = None
        for found in files.filesystem.list_names(files.directory):
            self._consider(found)

    def _consider(self, found: str) -> None:
        match = _NAME.fullmatch(found)
        if match is None:
            return
        is_ours = CheckpointName(int(match[1], 16), int(match[2], 16)) == self.name
        if not is_ours or self._file is not None:
            self._files.filesystem.unlink(self._files.path(found))
            return
        self._file_name = found
        self._digest = bytes.fromhex(match[3])
        self._file = self._files.filesystem.open(self._files.path(found))
        # What an earlier process wrote may be in the cache only, and clean since a sync that failed:
        # the digest must be that of what is on the disk.
        self._file.fdatasync()
        self._file.drop_cache()
        self._length = self._file.size()

    @property
    def held(self) -> Held:
        """What is here already."""
        return Held(self._digest, self._length) if self._length else NOTHING

    def append(self, received: Received) -> None:
        """Write a chunk behind what is here.

        Raises:
            OSError: the disk failed or is full.
        """
        if self._file is None:
            index, term = self.name.index, self.name.term
            digest = received.digest.hex()
            self._file_name = f"{INCOMING_PREFIX}{index:016x}-{term:016x}-{digest}{PARTIAL_SUFFIX}"
            self._file = self._files.filesystem.open(self._files.path(self._file_name), is_new=True)
            self._digest = received.digest
        assert received.offset == self._length, "chunks are appended in order"
        self._file.pwrite(received.body, received.offset)
        self._length += len(received.body)
        if self._length - self._flushed >= _FLUSH_BYTES:
            self._file.drop_cache(self._flushed, self._length - self._flushed)
            self._flushed = self._length

    def restart(self) -> None:
        """Throw away what is here."""
        self.close()
        if self._file_name:
            self._files.filesystem.unlink(self._files.path(self._file_name))
        self._file_name, self._digest, self._length, self._flushed = "", b"", 0, 0

    def verify(self, digest: bytes) -> bool:
        """Verify a slice of the whole; return whether that was the last one and all is well.

        Raises:
            CorruptCheckpoint: this is not the checkpoint that it should be.
        """
        if self._verification is None:
            assert self._file is not None, "nothing has been received"
            info = read_info(self._file, self.name, self._files.cluster_id)
            if info.digest != digest:
                raise CorruptCheckpoint(f"{self.name}: it is not the file that was announced")
            own = self._files.filesystem.open(self._files.path(self._file_name), is_read_only=True)
            self._verification = Verification(own, info, self._files.slice_bytes)
        return not self._verification.step()

    def finish(self) -> None:
        """Make the verified file durable and give it its name.

        Raises:
            OSError: the disk failed.
        """
        assert self._file is not None, "nothing has been received"
        self._file.fdatasync()
        self.close()
        self._files.give_name(self._file_name, self.name)

    def close(self) -> None:
        """Close the files; what is here is kept for another try."""
        if self._verification is not None:
            self._verification.close()
            self._verification = None
        if self._file is not None:
            self._file.close()
            self._file = None
