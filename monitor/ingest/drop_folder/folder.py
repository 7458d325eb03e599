"""A drop folder: rows of finished files go to the collector, the files to done/ or failed/."""

import hashlib
import logging
import os
import stat
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor.config.config import DropConfig
from monitor.errors import DriftdeckError, Overloaded, PayloadError
from monitor.ingest.collector import Collector
from monitor.ingest.drop_folder.order import Order, read_batches
from monitor.ingest.file_batches import ColumnMapping, FileBatch, digest_of

log = logging.getLogger("driftdeck.drop")

UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")
MAX_ATTEMPTS = 3
MAX_FAILED_SHOWN = 20
ENVIRONMENT = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
)


class DropFolder:
    """Reads the files of one folder in order; one thread calls `scan` repeatedly."""

    def __init__(self, config: DropConfig, folder: Path, collector: Collector) -> None:
        self.config, self.folder, self.collector = config, folder, collector
        self.mapping = ColumnMapping(
            config.timestamp,
            config.prediction,
            config.label,
            config.id,
            config.latency,
            None,
            config.features,
        )
        self.done = self.rows = self.refused = 0
        self.problem: str | None = None
        # by name, size, time and number of a file at the last scan
        self._states: dict[str, tuple[int, int, int]] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        for path in (folder, folder / "done", folder / "failed"):
            path.mkdir(parents=True, exist_ok=True)

    def scan(self, stopping: threading.Event | None = None) -> int:
        """Read every finished file; return the number of those that were read whole."""
        before = self.done
        earlier, self._states = self._states, {}
        for name, state in self._candidates():
            if stopping is not None and stopping.is_set():
                break
            self._states[name] = state
            if earlier.get(name) == state:  # unchanged since the last scan: finished
                try:
                    self._read(name)
                    self.problem = None
                except Overloaded as error:
                    # the file is valid: it is read when the spool has space again
                    self.problem = str(error)
                    return self.done - before
        return self.done - before

    def status(self) -> dict[str, Any]:
        """Return the counts since the start, the waiting files, and the failed ones with reasons."""
        reasons = sorted(
            (self.folder / "failed").glob("*.reason.txt"),
            key=lambda p: p.stat().st_mtime,
            reverse=True,
        )
        return {
            "folder": self.folder.name,
            "model": self.config.model,
            "done": self.done,
            "rows": self.rows,
            "refused": self.refused,
            "waiting": len(self._candidates()),
            "problem": self.problem,
            "failed": [
                {
                    "file": p.name.removesuffix(".reason.txt"),
                    "reason": p.read_text("utf-8", "replace")[:500].strip(),
                }
                for p in reasons[:MAX_FAILED_SHOWN]
            ],
        }

    def _candidates(self) -> list[tuple[str, tuple[int, int, int]]]:
        """Return regular files with size, time and number, the oldest first."""
        candidates = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if _is_candidate(entry):
                        info = entry.stat(follow_symlinks=False)
                        state = (info.st_size, info.st_mtime_ns, info.st_ino)
                        candidates.append((entry.name, state))
        except OSError as error:
            self.problem = f"{self.folder.name} cannot be read: {error.strerror}"
        return sorted(candidates, key=lambda c: (c[1][1], c[0]))

    def _read(self, name: str) -> None:
        try:
            file = os.open(
                self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            )
        except FileNotFoundError:
            return
        except OSError as error:
            self._failed(name, "", error.strerror or "the file cannot be opened")
            return
        digest = ""
        try:
            info = os.fstat(file)
            if not stat.S_ISREG(info.st_mode):
                return
            if info.st_size > self.config.max_mb << 20:
                raise PayloadError(
                    f"the file has more than {self.config.max_mb} MB (drop.max_mb)"
                )
            how = (
                self.config.kind,
                self.config.model,
                self.config.version,
                self.config.format,
                self.mapping,
            )
            digest = digest_of(Path(f"/dev/fd/{file}"), *how)
            with tempfile.TemporaryDirectory(prefix="driftdeck-") as folder:
                self._parse(name, file, digest, folder)
        except Overloaded:
            raise
        except DriftdeckError as error:
            self._failed(name, digest, str(error))
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = f"its reader sent an invalid response ({type(error).__name__})"
            self._failed(name, digest, reason)
        else:
            self._finished(name, digest)
        finally:
            os.close(file)

    def _parse(self, name: str, file: int, digest: str, folder: str) -> None:
        """Send the rows that the child reads to the collector.

        Raises PayloadError when the file cannot be read to its end.
        """
        c = self.config
        # a link to the open file under its own name: the ending chooses the reader, and
        # no other file can replace the open one
        link = Path(folder) / name
        link.symlink_to(f"/dev/fd/{file}")
        order = Order(
            str(link),
            digest,
            c.kind,
            c.format,
            c.model,
            c.version,
            self.mapping,
            c.memory_mb,
            c.seconds,
        )
        # no secret of the server reaches the process that reads a foreign file
        environment = {k: v for k, v in os.environ.items() if k in ENVIRONMENT}
        environment |= {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
        child = subprocess.Popen(
            [sys.executable, "-m", "monitor.ingest.drop_folder.parse", order.dump()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(file,),
            env=environment,
        )
        late = threading.Timer(2 * c.seconds + 30, child.kill)
        late.start()
        try:
            assert child.stdout is not None  # noqa: S101 (it is a pipe)
            for batch in read_batches(child.stdout):
                self._send(batch)
        except EOFError:
            code = child.wait()
            raise PayloadError(_death(code, c.memory_mb, c.seconds)) from None
        finally:
            late.cancel()
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()

    def _send(self, batch: FileBatch) -> None:
        if batch.refusals:
            result = self.collector.refuse(batch.kind, batch.refusals, batch.key)
        else:
            is_events = batch.kind == "events"
            ingest = self.collector.events if is_events else self.collector.labels
            result = ingest(batch.body, batch.media_type, batch.key, self.config.model)
        result.durable.result()
        if not result.replayed:
            self.rows += result.accepted
            self.refused += result.refused

    def _finished(self, name: str, digest: str) -> None:
        self.done += 1
        self._attempts.pop((name, digest), None)
        if self.config.when_done == "delete":
            (self.folder / name).unlink(missing_ok=True)
        else:
            self._move(name, "done", digest)

    def _failed(self, name: str, digest: str, reason: str) -> None:
        attempt = self._attempts.get((name, digest), 0) + 1
        self._attempts[name, digest] = attempt
        self.problem = f"{name}: {reason}"
        log.warning(
            "%s in %s, attempt %d of %d: %s",
            name,
            self.folder.name,
            attempt,
            MAX_ATTEMPTS,
            reason,
        )
        if attempt < MAX_ATTEMPTS:
            return
        del self._attempts[name, digest]
        moved = self._move(name, "failed", digest)
        if moved is not None:
            text = (
                f"{reason}\n\nMoved here after {MAX_ATTEMPTS} attempts on "
                f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC. The rows before the fault "
                "are stored. Correct the file and put it back into the folder.\n"
            )
            report = moved.with_name(f"{moved.name}.reason.txt")
            report.write_text(text, encoding="utf-8")

    def _move(self, name: str, to: str, digest: str) -> Path | None:
        """Move the file; return its new path, or None when it cannot be moved."""
        target = self.folder / to / name
        if target.exists():
            suffix = (
                digest or hashlib.sha256(str(datetime.now(UTC)).encode()).hexdigest()
            )
            target = target.with_name(f"{name}.{suffix[:12]}")
        try:
            return (self.folder / name).rename(target)
        except OSError as error:
            self.problem = f"{name} cannot be moved to {to}/: {error.strerror}"
            return None


def _is_candidate(entry: "os.DirEntry[str]") -> bool:
    if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
        return False
    return entry.is_file(follow_symlinks=False)


def _death(code: int, memory_mb: int, seconds: int) -> str:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return (
        f"the process that read the file ended with {how}: the file is damaged or "
        f"malicious, or needs more than {memory_mb} MB or {seconds} s "
        "(drop.memory_mb, drop.seconds)"
    )
