"""One drop folder: finished files in, their rows to the collector, the files to done/ or failed/."""

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
TRIES = 3
SHOWN = 20
KEPT = (
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
    """Reads the files of one folder, one after the other; `scan` is called again and again by one thread."""

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
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._tries: dict[tuple[str, str], int] = {}
        for path in (folder, folder / "done", folder / "failed"):
            path.mkdir(parents=True, exist_ok=True)

    def scan(self, stopping: threading.Event | None = None) -> int:
        """Read every file that is finished; how many were done."""
        before = self.done
        seen, self._seen = self._seen, {}
        for name, state in self._candidates():
            if stopping is not None and stopping.is_set():
                break
            self._seen[name] = state
            if seen.get(name) == state:  # as it was a scan ago: nobody writes to it
                try:
                    self._take(name)
                    self.problem = None
                except Overloaded as error:
                    # the file is fine: it is read when there is room again
                    self.problem = str(error)
                    return self.done - before
        return self.done - before

    def status(self) -> dict[str, Any]:
        """What was read since the start, what waits, and which files were set aside with their reasons."""
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
                for p in reasons[:SHOWN]
            ],
        }

    def _candidates(self) -> list[tuple[str, tuple[int, int, int]]]:
        """Finished regular files with size, time and number, the oldest first."""
        found = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.lower().endswith(
                        UNFINISHED
                    ):
                        continue
                    if entry.is_file(follow_symlinks=False):
                        about = entry.stat(follow_symlinks=False)
                        found.append(
                            (
                                entry.name,
                                (about.st_size, about.st_mtime_ns, about.st_ino),
                            )
                        )
        except OSError as error:
            self.problem = f"{self.folder.name} cannot be read: {error.strerror}"
        return sorted(found, key=lambda f: (f[1][1], f[0]))

    def _take(self, name: str) -> None:
        try:
            file = os.open(
                self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            )
        except FileNotFoundError:
            return
        except OSError as error:
            self._failed(name, "", error.strerror or "it cannot be opened")
            return
        digest = ""
        try:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode):
                return
            if about.st_size > self.config.max_mb << 20:
                raise PayloadError(
                    f"it has more than {self.config.max_mb} MB (drop.max_mb)"
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
            self._failed(
                name, digest, f"its reader gave nonsense ({type(error).__name__})"
            )
        else:
            self._finished(name, digest)
        finally:
            os.close(file)

    def _parse(self, name: str, file: int, digest: str, folder: str) -> None:
        """Rows to the collector as the child finds them.

        Raises PayloadError when the file cannot be read to its end.
        """
        c = self.config
        # the open file under its own name: readers go by the ending, and what is behind
        # the name cannot be exchanged
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
        # nothing of the server's secrets reaches the process that reads what others
        # wrote
        environment = {k: v for k, v in os.environ.items() if k in KEPT}
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
            answer = self.collector.refuse(batch.kind, batch.refusals, batch.key)
        else:
            take = (
                self.collector.events
                if batch.kind == "events"
                else self.collector.labels
            )
            answer = take(batch.body, batch.media_type, batch.key, self.config.model)
        answer.durable.result()
        if not answer.replayed:
            self.rows += answer.accepted
            self.refused += answer.refused

    def _finished(self, name: str, digest: str) -> None:
        self.done += 1
        self._tries.pop((name, digest), None)
        if self.config.when_done == "delete":
            (self.folder / name).unlink(missing_ok=True)
        else:
            self._move(name, "done", digest)

    def _failed(self, name: str, digest: str, reason: str) -> None:
        tries = self._tries[name, digest] = self._tries.get((name, digest), 0) + 1
        self.problem = f"{name}: {reason}"
        log.warning(
            "%s in %s, try %d of %d: %s", name, self.folder.name, tries, TRIES, reason
        )
        if tries < TRIES:
            return
        del self._tries[name, digest]
        moved = self._move(name, "failed", digest)
        if moved is not None:
            about = f"{reason}\n\nset aside after {TRIES} tries on {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; "
            about += "rows that could be read before the fault are stored; put the file back once it is mended\n"
            moved.with_name(f"{moved.name}.reason.txt").write_text(
                about, encoding="utf-8"
            )

    def _move(self, name: str, to: str, digest: str) -> Path | None:
        """Where the file is now; None when somebody took it away."""
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


def _death(code: int, memory_mb: int, seconds: int) -> str:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return (
        f"the process that read it ended with {how}: it is damaged or made to do harm, or needs more than {memory_mb} MB "
        f"or {seconds} s (drop.memory_mb, drop.seconds)"
    )
