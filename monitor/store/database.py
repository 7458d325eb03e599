"""The DuckDB file: one writing connection, a cursor for each read, a locked engine."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, overload

import duckdb
import pyarrow as pa

from monitor.errors import Overloaded, StorageError
from monitor.store.migrations import MIGRATIONS, SCHEMA_VERSION, TABLES

# Each table keeps at least a block in memory: with DuckDB's own 256 kB a thousand
# models needed 268 MB.
BLOCK_BYTES = 32_768
REOPEN_PATIENCE_S = 10.0  # for reads of a failed engine to end
READ_PATIENCE_S = 15.0  # for the file to be opened again
READ_RETRY_S = 2  # what a reader is asked to wait then
MAX_REASON = 200  # characters of an engine's message that are passed on


class Database:
    """The owner of one DuckDB file: writes are one at a time, each read has its own cursor.

    Opening raises StorageError, in one sentence, when another process has the file
    open, or when it is damaged or of a newer schema version.
    """

    def __init__(self, path: Path, memory_limit: str = "256MB") -> None:
        self.path = path
        # for what must follow a commit before the next write; reentrant
        self.write_lock = threading.RLock()
        self._memory_limit = memory_limit
        # locked while a cursor is opened, and while the file is exchanged
        self._gate = threading.Condition()
        self._readers = 0
        self._is_closing = False  # no cursor is opened: the others are to end
        self._failed = False  # the engine gave up; only reopening helps
        self.connection = open_database(path, memory_limit)

    def query(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, read with a cursor of its own."""
        with self.cursor() as cursor:
            return cursor.execute(sql, params).fetchall()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a cursor for one read: a shared one gave wrong results under threads.

        Raises Overloaded when the file is exchanged, and that takes long.
        """
        with self._gate:
            if not self._gate.wait_for(lambda: not self._is_closing, READ_PATIENCE_S):
                raise Overloaded(
                    "the database is being opened again; try again in a moment",
                    READ_RETRY_S,
                )
            cursor = self.connection.cursor()
            self._readers += 1
        try:
            yield cursor
        finally:
            cursor.close()
            with self._gate:
                self._readers -= 1
                self._gate.notify_all()

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend the writing connection, inside a transaction."""
        with self.write_lock, transaction(self.connection):
            yield self.connection

    def checkpoint(self) -> bool:
        """Write the database's log back into its file; False while a reader prevents it."""
        with self.write_lock:
            try:
                self.connection.execute("CHECKPOINT")
            except duckdb.TransactionException:
                return False
            return True

    def note_failure(self) -> None:
        """Note a fatal error of the engine: it answers nothing until it is reopened."""
        self._failed = True

    @property
    def has_failed(self) -> bool:
        """True after a fatal error of the engine, until the file is open again."""
        return self._failed

    def reopen_if_failed(self) -> bool:
        """Close every handle and open the file again after a fatal error of the engine.

        False when there was none. Raises StorageError when reads do not end, or when
        the file cannot be opened; the failure stays noted then.
        """
        with self.write_lock:
            if not self._failed:
                return False
            with self._without_readers(REOPEN_PATIENCE_S) as is_alone:
                # a handle that is open would keep the failed engine
                if not is_alone:
                    raise StorageError(
                        f"the database failed, and {self._readers} reads have not ended;"
                        " it is opened again once they have"
                    )
                with suppress(duckdb.Error):
                    self.connection.close()
                self.connection = open_database(self.path, self._memory_limit)
            self._failed = False
            return True

    @contextmanager
    def _without_readers(self, patience_s: float) -> Iterator[bool]:
        """Let no new read begin and wait for the others; False when one did not end."""
        with self._gate:
            self._is_closing = True
            try:
                yield self._gate.wait_for(lambda: self._readers == 0, patience_s)
            finally:
                self._is_closing = False
                self._gate.notify_all()

    def close(self) -> None:
        """Checkpoint and release the file."""
        with self.write_lock:
            try:
                self.connection.execute("CHECKPOINT")
            except duckdb.Error:
                pass  # commits are in the database's log, and replayed at the next start
            finally:
                self.connection.close()

    def rewrite(self, patience_s: float) -> bool:
        """Copy the database into a new file, without the free blocks of deleted rows.

        False when readers did not finish in time.
        """
        copy = self.path.with_suffix(".rewritten")
        copy.unlink(missing_ok=True)
        with self.write_lock, self._without_readers(patience_s) as is_alone:
            if not is_alone:
                return False
            con = self.connection
            con.execute("CHECKPOINT")
            con.execute(f"ATTACH {_literal(copy)} AS rewritten")
            con.execute(f"COPY FROM DATABASE {self.path.stem} TO rewritten")
            con.execute("DETACH rewritten")
            con.close()
            copy.replace(self.path)
            self.connection = open_database(self.path, self._memory_limit)
            return True


def open_database(path: Path, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """Open or create the database at `path`; the engine reaches nothing outside its folder.

    Raises StorageError, in one sentence, when another process has it open, or when it
    is damaged or of a newer schema version.
    """
    try:
        con = duckdb.connect(str(path), config={"default_block_size": BLOCK_BYTES})
    except duckdb.Error as error:
        raise StorageError(_explain(path, str(error))) from None
    try:
        _lock_engine(con, path.parent, memory_limit)
        _migrate(con, path)
    except BaseException:
        con.close()
        raise
    return con


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit at the end, roll back on any exception.

    A COMMIT after a failed statement would store nothing and raise nothing.
    """
    con.execute("BEGIN")
    try:
        yield
        con.execute("COMMIT")
    except duckdb.FatalException:
        raise  # no rollback is possible: the database must be reopened
    except BaseException:
        # after a failed COMMIT there is none to roll back: its reason is the one to report
        with suppress(duckdb.Error):
            con.execute("ROLLBACK")
        raise


@contextmanager
def registered(
    con: duckdb.DuckDBPyConnection, table: pa.Table, name: str = "profiled_rows"
) -> Iterator[str]:
    """Give an Arrow table a name that SQL can use, for the length of a `with`."""
    con.register(name, table)
    try:
        yield name
    except BaseException:
        # in a transaction that failed the engine refuses; the failure is what to report
        with suppress(duckdb.Error):
            con.unregister(name)
        raise
    con.unregister(name)


def insert_rows(
    con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows of plain values in one statement; `table` may name its columns.

    A statement for each row costs as much as loading hundreds of events.
    """
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        values = ", ".join(["unnest(?)"] * len(columns))
        con.execute(f"INSERT INTO {table} SELECT {values}", columns)


@overload
def aware(at: datetime) -> datetime: ...


@overload
def aware(at: None) -> None: ...


def aware(at: datetime | None) -> datetime | None:
    """Return a stored time (naive UTC) as aware UTC; None stays None."""
    return None if at is None else at.replace(tzinfo=UTC)


def _lock_engine(
    con: duckdb.DuckDBPyConnection, folder: Path, memory_limit: str
) -> None:
    # the order matters: nothing can be changed after lock_configuration
    for statement in (
        "SET TimeZone = 'UTC'",
        f"SET memory_limit = '{memory_limit}'",
        # each statement runs in its caller's thread: with a second one, an insert is
        # copied once more to keep its order
        "SET threads = 1",
        # the scheduler checkpoints every minute; inside a COMMIT a checkpoint would be
        # the slowest part of a load
        "SET checkpoint_threshold = '128MB'",
        f"SET temp_directory = {_literal(folder / 'tmp')}",
        "SET preserve_insertion_order = true",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET python_enable_replacements = false",
        f"SET allowed_directories = [{_literal(folder)}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        con.execute(statement)


def _migrate(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Create the tables of a new database; bring an older one to this schema version."""
    names = con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    tables = {name for (name,) in names}
    if not tables:
        _create_tables(con)
        return
    version = None
    if "meta" in tables:
        ((version,),) = con.execute("SELECT max(schema_version) FROM meta").fetchall()
    if version is None:
        raise StorageError(
            f"{path} is a DuckDB file, but not one of driftdeck's; "
            "choose another --data directory"
        )
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path} has schema version {version}, newer than this driftdeck's "
            f"{SCHEMA_VERSION}; use the driftdeck that wrote it, or another --data "
            "directory"
        )
    for target in range(version + 1, SCHEMA_VERSION + 1):
        steps = MIGRATIONS[target]
        with transaction(con):
            for statement in steps(con) if callable(steps) else steps:
                con.execute(statement)
            con.execute("UPDATE meta SET schema_version = ?", [target])


def _create_tables(con: duckdb.DuckDBPyConnection) -> None:
    with transaction(con):
        for statement in TABLES.split(";\n"):
            con.execute(statement)  # one at a time
        con.execute("INSERT INTO meta VALUES (?, now()::TIMESTAMP)", [SCHEMA_VERSION])
        con.execute("INSERT INTO spool_position VALUES (0, 0)")
        con.execute("INSERT INTO quarantine_number VALUES (0)")


def _explain(path: Path, message: str) -> str:
    """Turn the engine's message into one sentence with a remedy."""
    lock = re.search(r"Conflicting lock is held in (.+?) \(PID (\d+)\)", message)
    reason = message.splitlines()[0][:MAX_REASON]
    if lock:
        return (
            f"{path} is in use by another process (PID {lock[2]}); "
            "stop it, or talk to it with --url"
        )
    if "not a valid DuckDB database" in message:
        return (
            f"{path} is not a DuckDB database; "
            "move it away or choose another --data directory"
        )
    if "Permission denied" in message:
        return f"{path} cannot be opened: permission denied; check its owner and mode"
    if "Corrupt" in message or "could not read enough" in message.lower():
        return (
            f"{path} is damaged ({reason}); "
            "restore a backup; the spool replays the rows that arrived after it"
        )
    return f"{path} cannot be opened: {reason}"


def _literal(path: Path) -> str:
    return "'" + str(path.resolve()).replace("'", "''") + "'"
