"""What is remembered: one protocol, plain memory and a SQLite file.

Both keep the same promises, checked by one suite: tasks are found by id and by name inside an account, listed
newest first at a cost that does not grow, and forgotten when their retention is over.  The file also keeps
what it acknowledged: whoever answers waits for :meth:`Store.committed` first.

A `tenant` is a name; an `account` is "provider:account" and tells accounts of all providers apart.
"""

from __future__ import annotations

import asyncio
import heapq
import sqlite3
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from operator import itemgetter
from typing import Any, Final, Protocol

import orjson

from mockserver.deliveries import Attempt, Delivery, Ledger
from mockserver.tasks import Task
from validator.keywords import Shape

LEDGER_ENTRIES: Final = 10_000
"""Finished deliveries that a tenant keeps; the oldest go first."""

LEDGER_BYTES: Final = 64 * 1024 * 1024
"""Bytes that the finished deliveries of a tenant may take; past it the oldest go as well."""

MOST_IDLE: Final = 100_000
"""Accounts that are remembered; past it those go that never had a task: any key there is makes one by asking."""


@dataclass(slots=True)
class Account:
    """What an account has: when it was first seen, credits taken, tasks not yet settled by their id.

    `reserved` is what the open tasks will take if they succeed; the counts are of tasks that were settled.
    `settled_until` is the time before which no further task can have ended; times in milliseconds.
    """

    opened: int
    used: float = 0.0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    reserved: float = 0.0
    open: dict[str, Task] = field(default_factory=dict)
    settled_until: int = 0

    @property
    def spent(self) -> float:
        """Return what is taken and what is reserved."""
        return round(self.used + self.reserved, 8)

    @property
    def is_idle(self) -> bool:
        """Tell whether it never had a task."""
        return not (self.open or self.used or self.succeeded or self.failed or self.canceled)

    def hold(self, task: Task) -> None:
        """Book a task that was made: its price is reserved, or taken where it is taken at once."""
        if task.id in self.open:
            return
        self.open[task.id] = task
        if task.price is not None and task.is_charged:
            self.used = round(self.used + task.price, 8)
        elif task.price is not None:
            self.reserved = round(self.reserved + task.price, 8)

    def settle(self, task: Task, amount: float, outcome: str | None) -> None:
        """Book the end of a task: what it really takes; without an outcome it is forgotten under way."""
        if self.open.pop(task.id, None) is None:
            return
        price = task.price or 0.0
        if task.is_charged:
            amount -= price
        else:
            self.reserved = round(self.reserved - price, 8)
        self.used = round(self.used + amount, 8)
        self.succeeded += outcome == "success"
        self.failed += outcome == "failure"
        self.canceled += outcome == "canceled"
        task.is_settled = True


@dataclass(frozen=True, slots=True)
class ClockState:
    """A tenant's clock, as it is kept over a restart; `is_own` when an admin set its speed."""

    base: int
    base_wall: int
    speed: float
    is_own: bool


class Store(Protocol):
    """Where tasks, deliveries, accounts and clocks are kept."""

    def add(self, tenant: str, task: Task, names: Sequence[tuple[str, str]]) -> None:
        """Keep a new task, filed under each (pointer, value) as well."""

    def save(self, tenant: str, task: Task) -> None:
        """Keep what changed about a task."""

    def get(self, tenant: str, task_id: str) -> Task | None:
        """Return a task by its id, whoever owns it."""

    def find(self, tenant: str, account: str, pointer: str, value: str) -> Task | None:
        """Return the account's task that was filed under this name last."""

    def page(self, tenant: str, account: str, operations: Sequence[str], skip: int, size: int) -> list[Task]:
        """Return the account's tasks of these operations, newest first."""

    def newest(self, tenant: str) -> Iterator[Task]:
        """Yield all tasks of a tenant, newest first."""

    def count(self, tenant: str | None = None) -> int:
        """Return how many tasks a tenant, or the whole store, holds."""

    def forget(self, tenant: str, account: str, operation: str, before: int) -> None:
        """Drop the account's tasks of an operation that were created before a time."""

    def oldest(self, tenant: str, account: str, operation: str) -> int | None:
        """Return when the account's oldest task of an operation was created, None where it has none."""

    def account(self, tenant: str, account: str, now: int) -> Account:
        """Return an account, opened at this time if it is new, at the expense of others without a task."""

    def accounts(self, tenant: str) -> Mapping[str, Account]:
        """Return the tenant's accounts by their name."""

    def held(self) -> Iterator[tuple[str, str, Account]]:
        """Yield (tenant, name, account) of every account that was asked for since the store was opened."""

    def hold(self, tenant: str, task: Task) -> None:
        """Book a task that was added to the account it belongs to, which was asked for before."""

    def settle(self, tenant: str, task: Task, amount: float, outcome: str | None) -> None:
        """Book the end of a task, and what it takes, to an account that was asked for before."""

    def save_quotas(self, tenant: str, holder: str, quotas: Mapping[str, float]) -> None:
        """Keep the quotas that were given to one holder, by unit, in place of those it had."""

    def quotas(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Return what was given to holders: tenant to holder to quotas by unit."""

    def add_delivery(self, tenant: str, delivery: Delivery) -> None:
        """Keep a new delivery and number it."""

    def save_delivery(self, tenant: str, delivery: Delivery) -> None:
        """Keep what changed about a delivery."""

    def delivery(self, tenant: str, delivery_id: str) -> Delivery | None:
        """Return a delivery by its id."""

    def deliveries(self, tenant: str) -> Iterator[Delivery]:
        """Yield the deliveries of a tenant, newest first."""

    def open_deliveries(self, tenant: str) -> list[Delivery]:
        """Return the deliveries that still have something to do, oldest first."""

    def deliveries_of(self, tenant: str, task_id: str) -> list[Delivery]:
        """Return the deliveries of a task, oldest first."""

    def ledger(self, tenant: str) -> Ledger:
        """Return how much the ledger of a tenant holds, and what it let go since this process began."""

    def save_clock(self, tenant: str, clock: ClockState) -> None:
        """Keep a tenant's clock."""

    def tenants(self) -> Mapping[str, ClockState]:
        """Return the tenants that are known, with their clocks."""

    def save_horizon(self, tenant: str, horizon: int) -> None:
        """Keep how long the longest course of a tenant's tasks is, in milliseconds."""

    def horizon(self, tenant: str) -> int:
        """Return how long the longest course is, 0 where nothing was kept."""

    def reset(self, tenant: str) -> None:
        """Forget everything about a tenant."""

    @property
    def is_dirty(self) -> bool:
        """Tell whether something is not yet committed."""

    async def committed(self) -> None:
        """Return once everything kept so far survives the end of the process."""

    def close(self) -> None:
        """Commit and let go."""


# --- memory -----------------------------------------------------------------------------------------------


class _Row:
    """The tasks of one account and operation in the order of creation; the first `start` are forgotten.

    `numbers` order them among those of other rows, which times do not where a clock stands.
    """

    __slots__ = ("numbers", "start", "tasks")

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.numbers = array("q")
        self.start = 0

    def newest(self) -> Iterator[tuple[int, Task]]:
        for index in range(len(self.tasks) - 1, self.start - 1, -1):
            yield self.numbers[index], self.tasks[index]

    def page(self, skip: int, size: int) -> list[Task]:
        end = len(self.tasks) - skip
        if end <= self.start:
            return []
        return self.tasks[max(end - size, self.start) : end][::-1]

    def forget(self, before: int) -> Iterator[Task]:
        while self.start < len(self.tasks) and self.tasks[self.start].created < before:
            yield self.tasks[self.start]
            self.start += 1
        if self.start > 64 and self.start * 2 > len(self.tasks):
            del self.tasks[: self.start], self.numbers[: self.start]
            self.start = 0


class _Tenant:
    __slots__ = (
        *("accounts", "by_id", "deliveries", "finished", "names", "names_of", "number", "of_task", "rows"),
        *("dropped", "finished_bytes", "task_number"),
    )

    def __init__(self) -> None:
        self.by_id: dict[str, Task] = {}
        self.names: dict[tuple[str, str, str], Task] = {}
        self.names_of: dict[str, list[tuple[str, str, str]]] = {}
        self.number = 0
        self.task_number = 0
        self.rows: dict[tuple[str, str], _Row] = {}
        self.accounts: dict[str, Account] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.of_task: dict[str, list[Delivery]] = {}
        self.finished: OrderedDict[str, tuple[Delivery, int]] = OrderedDict()
        self.finished_bytes = 0
        self.dropped = 0


class MemoryStore:
    """Everything in dictionaries; gone with the process."""

    is_dirty = False

    def __init__(self) -> None:
        """Start empty."""
        self._tenants: dict[str, _Tenant] = {}
        self._clocks: dict[str, ClockState] = {}
        self._quotas: dict[str, dict[str, Mapping[str, float]]] = {}
        self._horizons: dict[str, int] = {}
        self._count = 0
        self._made, self._room = 0, MOST_IDLE

    def _tenant(self, name: str) -> _Tenant:
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = self._tenants[name] = _Tenant()
        return tenant

    def add(self, tenant: str, task: Task, names: Sequence[tuple[str, str]]) -> None:
        held = self._tenant(tenant)
        held.by_id[task.id] = task
        if names:
            keys = [(task.account, pointer, value) for pointer, value in names]
            held.names_of[task.id] = keys
            for name in keys:
                held.names[name] = task
        key = (task.account, task.operation)
        row = held.rows.get(key)
        if row is None:
            row = held.rows[key] = _Row()
        held.task_number += 1
        row.tasks.append(task)
        row.numbers.append(held.task_number)
        self._count += 1

    def save(self, tenant: str, task: Task) -> None:
        """Do nothing: the task that was handed out is the one that is kept."""

    def get(self, tenant: str, task_id: str) -> Task | None:
        held = self._tenants.get(tenant)
        return None if held is None else held.by_id.get(task_id)

    def find(self, tenant: str, account: str, pointer: str, value: str) -> Task | None:
        return self._tenant(tenant).names.get((account, pointer, value))

    def page(self, tenant: str, account: str, operations: Sequence[str], skip: int, size: int) -> list[Task]:
        rows = [row for name in operations if (row := self._tenant(tenant).rows.get((account, name)))]
        if len(rows) == 1:
            return rows[0].page(skip, size)
        merged = heapq.merge(*(row.newest() for row in rows), key=itemgetter(0), reverse=True)
        return [task for _, task in islice(merged, skip, skip + size)]

    def newest(self, tenant: str) -> Iterator[Task]:
        return iter(reversed(self._tenant(tenant).by_id.values()))

    def count(self, tenant: str | None = None) -> int:
        if tenant is None:
            return self._count
        return len(self._tenant(tenant).by_id)

    def forget(self, tenant: str, account: str, operation: str, before: int) -> None:
        held = self._tenant(tenant)
        row = held.rows.get((account, operation))
        if row is None or row.start >= len(row.tasks) or row.tasks[row.start].created >= before:
            return
        for task in row.forget(before):
            del held.by_id[task.id]
            self._count -= 1
            for name in held.names_of.pop(task.id, ()):
                if held.names[name] is task:
                    del held.names[name]

    def oldest(self, tenant: str, account: str, operation: str) -> int | None:
        row = self._tenant(tenant).rows.get((account, operation))
        if row is None or row.start >= len(row.tasks):
            return None
        return row.tasks[row.start].created

    def account(self, tenant: str, account: str, now: int) -> Account:
        accounts = self._tenant(tenant).accounts
        found = accounts.get(account)
        if found is None:
            self._made += 1
            if self._made > self._room:
                left = _drop_idle([held.accounts for held in self._tenants.values()])
                self._made, self._room = left + 1, max(MOST_IDLE, 2 * left)
            found = accounts[account] = Account(opened=now)
        return found

    def accounts(self, tenant: str) -> Mapping[str, Account]:
        held = self._tenants.get(tenant)
        return {} if held is None else held.accounts

    def held(self) -> Iterator[tuple[str, str, Account]]:
        for tenant, held in self._tenants.items():
            for name, account in held.accounts.items():
                yield tenant, name, account

    def hold(self, tenant: str, task: Task) -> None:
        self._tenant(tenant).accounts[task.account].hold(task)

    def settle(self, tenant: str, task: Task, amount: float, outcome: str | None) -> None:
        self._tenant(tenant).accounts[task.account].settle(task, amount, outcome)

    def save_quotas(self, tenant: str, holder: str, quotas: Mapping[str, float]) -> None:
        self._quotas.setdefault(tenant, {})[holder] = dict(quotas)

    def quotas(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        return self._quotas

    def add_delivery(self, tenant: str, delivery: Delivery) -> None:
        held = self._tenant(tenant)
        held.number += 1
        delivery.number = held.number
        held.deliveries[delivery.id] = delivery
        held.of_task.setdefault(delivery.task_id, []).append(delivery)

    def save_delivery(self, tenant: str, delivery: Delivery) -> None:
        """Note when it is through: the delivery that was handed out is the one that is kept."""
        held = self._tenant(tenant)
        _, size = held.finished.pop(delivery.id, (None, 0))
        held.finished_bytes -= size
        if delivery.is_open:
            return
        size = delivery.size_bytes
        held.finished[delivery.id] = (delivery, size)
        held.finished_bytes += size
        while len(held.finished) > LEDGER_ENTRIES or held.finished_bytes > LEDGER_BYTES:
            _drop_oldest(held)

    def delivery(self, tenant: str, delivery_id: str) -> Delivery | None:
        return self._tenant(tenant).deliveries.get(delivery_id)

    def deliveries(self, tenant: str) -> Iterator[Delivery]:
        return iter(reversed(self._tenant(tenant).deliveries.values()))

    def open_deliveries(self, tenant: str) -> list[Delivery]:
        return [one for one in self._tenant(tenant).deliveries.values() if one.is_open]

    def deliveries_of(self, tenant: str, task_id: str) -> list[Delivery]:
        return list(self._tenant(tenant).of_task.get(task_id, ()))

    def ledger(self, tenant: str) -> Ledger:
        held = self._tenant(tenant)
        return Ledger(len(held.deliveries), held.finished_bytes, held.dropped)

    def save_clock(self, tenant: str, clock: ClockState) -> None:
        self._clocks[tenant] = clock

    def tenants(self) -> Mapping[str, ClockState]:
        return dict(self._clocks)

    def save_horizon(self, tenant: str, horizon: int) -> None:
        self._horizons[tenant] = horizon

    def horizon(self, tenant: str) -> int:
        return self._horizons.get(tenant, 0)

    def reset(self, tenant: str) -> None:
        held = self._tenants.pop(tenant, None)
        self._count -= len(held.by_id) if held is not None else 0
        self._clocks.pop(tenant, None)
        self._quotas.pop(tenant, None)
        self._horizons.pop(tenant, None)

    async def committed(self) -> None:
        return None

    def close(self) -> None:
        return None


def _drop_oldest(held: _Tenant) -> None:
    """Drop the delivery that was finished first."""
    # A plain dictionary would be searched from its start for the oldest, past all that are gone.
    _, (delivery, size) = held.finished.popitem(last=False)
    held.finished_bytes -= size
    held.dropped += 1
    del held.deliveries[delivery.id]
    rest = [other for other in held.of_task[delivery.task_id] if other is not delivery]
    if rest:
        held.of_task[delivery.task_id] = rest
    else:
        del held.of_task[delivery.task_id]


def _drop_idle(tenants: Iterable[dict[str, Account]]) -> int:
    """Forget accounts that never had a task, and return how many are left."""
    left = 0
    for accounts in tenants:
        for name in [name for name, account in accounts.items() if account.is_idle]:
            del accounts[name]
        left += len(accounts)
    return left


# --- SQLite -----------------------------------------------------------------------------------------------

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS task (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant TEXT NOT NULL, id TEXT NOT NULL, account TEXT NOT NULL, operation TEXT NOT NULL,
  place INTEGER NOT NULL, created INTEGER NOT NULL, is_open INTEGER NOT NULL, record BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS task_id ON task (tenant, id);
CREATE UNIQUE INDEX IF NOT EXISTS task_place ON task (tenant, account, operation, place);
CREATE INDEX IF NOT EXISTS task_open ON task (tenant, account, number) WHERE is_open;
CREATE TABLE IF NOT EXISTS name (
  tenant TEXT NOT NULL, account TEXT NOT NULL, pointer TEXT NOT NULL, value TEXT NOT NULL,
  task_id TEXT NOT NULL, PRIMARY KEY (tenant, account, pointer, value)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS name_task ON name (tenant, task_id);
CREATE TABLE IF NOT EXISTS account (
  tenant TEXT NOT NULL, account TEXT NOT NULL, opened INTEGER NOT NULL, used REAL NOT NULL,
  succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, canceled INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, account)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quota (
  tenant TEXT NOT NULL, holder TEXT NOT NULL, unit TEXT NOT NULL, quota REAL NOT NULL,
  PRIMARY KEY (tenant, holder, unit)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery (
  tenant TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL, task_id TEXT NOT NULL,
  is_open INTEGER NOT NULL, record BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (tenant, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivery_number ON delivery (tenant, number);
CREATE INDEX IF NOT EXISTS delivery_open ON delivery (tenant, number) WHERE is_open;
CREATE INDEX IF NOT EXISTS delivery_task ON delivery (tenant, task_id, number);
CREATE TABLE IF NOT EXISTS tenant (
  name TEXT PRIMARY KEY, base INTEGER NOT NULL, base_wall INTEGER NOT NULL, speed REAL NOT NULL,
  is_own INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS horizon (tenant TEXT PRIMARY KEY, longest INTEGER NOT NULL) WITHOUT ROWID;
"""

_VERSION: Final = 2

_MIGRATIONS: Final[Mapping[int, tuple[str, ...]]] = {
    # Format of a file -> what makes it one of the next.
    1: (
        "ALTER TABLE account ADD COLUMN succeeded INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE account ADD COLUMN failed INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE account ADD COLUMN canceled INTEGER NOT NULL DEFAULT 0",
    ),
}

PATIENCE_S: Final = 1.0
"""Seconds to wait for another process to let go of the file; one that is stopping takes far less."""


class StoreError(RuntimeError):
    """A store file that cannot be used."""


class SqliteStore:
    """Everything in one SQLite file; what was committed survives the process.

    Writes of one turn of the event loop share a transaction, committed before any of their answers leaves.
    Write-ahead log, synchronous NORMAL: nothing is lost when the process is killed; the last moments may be
    when the machine loses power.
    """

    def __init__(self, path: str) -> None:
        """Open or make the file; raises StoreError."""
        try:
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=PATIENCE_S
            )
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be used as a store: {error}") from None
        try:
            self._prepare(path)
        except sqlite3.Error as error:
            self._db.close()
            is_taken = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            why = "another process is using it" if is_taken else str(error)
            raise StoreError(f"{path} cannot be used as a store: {why}") from None
        except StoreError:
            self._db.close()
            raise
        self._count: int = self._db.execute("SELECT count(*) FROM task").fetchone()[0]
        self._places: dict[tuple[str, str, str], int] = {}
        self._accounts: dict[str, dict[str, Account]] = {}
        self._made: int = self._db.execute("SELECT count(*) FROM account").fetchone()[0]
        self._room = MOST_IDLE
        self._known_whole: set[str] = set()
        self._is_open = False
        self._lost = ""
        self._waiting: asyncio.Future[None] | None = None
        self._numbers: dict[str, int] = {}
        self._finished: dict[str, tuple[int, int]] = {}
        self._dropped: dict[str, int] = {}

    def _prepare(self, path: str) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION, *_MIGRATIONS):
            raise StoreError(f"{path} was written by another version of this program (format {version})")
        while version in _MIGRATIONS:
            self._db.execute("BEGIN")
            for statement in _MIGRATIONS[version]:
                self._db.execute(statement)
            version += 1
            self._db.execute(f"PRAGMA user_version={version}")
            self._db.execute("COMMIT")
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version={_VERSION}")

    # --- transactions

    @property
    def is_dirty(self) -> bool:
        return self._is_open

    def _write(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        if self._lost:
            raise StoreError(f"the store cannot be written: {self._lost}")
        if self._is_open:
            return self._execute(sql, values)
        self._db.execute("BEGIN")
        self._is_open = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Without a loop there is no turn to share: one statement, one transaction.
            try:
                return self._execute(sql, values)
            finally:
                failed = self._commit()
                if failed is not None:
                    raise failed from None
        self._waiting = loop.create_future()
        loop.call_soon(self._commit)
        return self._execute(sql, values)

    def _execute(self, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
        try:
            return self._db.execute(sql, values)
        except sqlite3.Error as error:
            if not self._db.in_transaction:
                # A full disk takes back all that was written in this turn, not this statement alone.
                self._lost = str(error)
            raise

    def _commit(self) -> StoreError | None:
        """Commit what is open, tell those who wait, and return what stood against it."""
        if not self._is_open:
            return None
        waiting, lost = self._waiting, self._lost
        self._waiting, self._lost, self._is_open = None, "", False
        if not lost:
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._db.rollback()
                lost = str(error)
        if not lost:
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
            return None
        self._read_again()
        failed = StoreError(f"the store cannot be written: {lost}")
        if waiting is not None and not waiting.done():
            waiting.set_exception(failed)
            waiting.exception()  # so that it is no complaint where nobody waits
        return failed

    def _read_again(self) -> None:
        """Forget what was remembered of a file that did not take what was written."""
        (self._count,) = self._db.execute("SELECT count(*) FROM task").fetchone()
        self._places.clear()
        self._accounts.clear()
        self._known_whole.clear()
        self._numbers.clear()

    async def committed(self) -> None:
        if self._waiting is not None:
            await asyncio.shield(self._waiting)

    def close(self) -> None:
        self._commit()
        self._db.close()

    # --- tasks

    def add(self, tenant: str, task: Task, names: Sequence[tuple[str, str]]) -> None:
        place = self._next_place(tenant, task.account, task.operation)
        self._write(
            "INSERT INTO task (tenant, id, account, operation, place, created, is_open, record)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(tenant, task.id, task.account, task.operation, place),
                *(task.created, int(not task.is_settled), _dump_task(task)),
            ),
        )
        self._count += 1
        for pointer, value in names:
            self._write(
                "INSERT OR REPLACE INTO name VALUES (?, ?, ?, ?, ?)",
                (tenant, task.account, pointer, value, task.id),
            )

    def _next_place(self, tenant: str, account: str, operation: str) -> int:
        key = (tenant, account, operation)
        place = self._places.get(key)
        if place is None:
            (place,) = self._db.execute(
                "SELECT coalesce(max(place), 0) FROM task WHERE tenant=? AND account=? AND operation=?", key
            ).fetchone()
        self._places[key] = place + 1
        return int(place) + 1

    def save(self, tenant: str, task: Task) -> None:
        self._write(
            "UPDATE task SET record=?, is_open=? WHERE tenant=? AND id=?",
            (_dump_task(task), int(not task.is_settled), tenant, task.id),
        )
        held = self._accounts.get(tenant, {}).get(task.account)
        if held is not None and task.id in held.open:
            held.open[task.id] = task

    def get(self, tenant: str, task_id: str) -> Task | None:
        row = self._db.execute(
            "SELECT record FROM task WHERE tenant=? AND id=?", (tenant, task_id)
        ).fetchone()
        return None if row is None else _load_task(row[0])

    def find(self, tenant: str, account: str, pointer: str, value: str) -> Task | None:
        row = self._db.execute(
            "SELECT record FROM name JOIN task ON task.tenant=name.tenant AND task.id=name.task_id"
            " WHERE name.tenant=? AND name.account=? AND pointer=? AND value=?",
            (tenant, account, pointer, value),
        ).fetchone()
        return None if row is None else _load_task(row[0])

    def page(self, tenant: str, account: str, operations: Sequence[str], skip: int, size: int) -> list[Task]:
        if len(operations) == 1:
            # Places have no gaps but at the old end, so that a page is a range and not a count.
            key = (tenant, account, operations[0])
            last = self._places.get(key)
            if last is None:
                last = self._next_place(*key) - 1
                self._places[key] = last
            rows = self._db.execute(
                "SELECT record FROM task WHERE tenant=? AND account=? AND operation=? AND place<=?"
                " ORDER BY place DESC LIMIT ?",
                (*key, last - skip, size),
            )
        else:
            marks = ",".join("?" * len(operations))
            rows = self._db.execute(
                f"SELECT record FROM task WHERE tenant=? AND account=? AND operation IN ({marks})"  # noqa: S608
                " ORDER BY number DESC LIMIT ? OFFSET ?",
                (tenant, account, *operations, size, skip),
            )
        return [_load_task(record) for (record,) in rows]

    def newest(self, tenant: str) -> Iterator[Task]:
        number = 1 << 62
        while True:
            rows = self._db.execute(
                "SELECT number, record FROM task WHERE tenant=? AND number<? ORDER BY number DESC LIMIT 200",
                (tenant, number),
            ).fetchall()
            for _, record in rows:
                yield _load_task(record)
            if len(rows) < 200:
                return
            number = rows[-1][0]

    def count(self, tenant: str | None = None) -> int:
        if tenant is None:
            return self._count
        row = self._db.execute("SELECT count(*) FROM task WHERE tenant=?", (tenant,)).fetchone()
        return int(row[0])

    def oldest(self, tenant: str, account: str, operation: str) -> int | None:
        row = self._db.execute(
            "SELECT created FROM task WHERE tenant=? AND account=? AND operation=? ORDER BY place LIMIT 1",
            (tenant, account, operation),
        ).fetchone()
        return None if row is None else int(row[0])

    def forget(self, tenant: str, account: str, operation: str, before: int) -> None:
        oldest = self.oldest(tenant, account, operation)
        if oldest is None or oldest >= before:
            return
        which = "SELECT id FROM task WHERE tenant=? AND account=? AND operation=? AND created<?"
        key = (tenant, account, operation, before)
        self._next_place(tenant, account, operation)
        self._places[tenant, account, operation] -= 1
        self._write(f"DELETE FROM name WHERE tenant=? AND task_id IN ({which})", (tenant, *key))  # noqa: S608
        gone = self._write("DELETE FROM task WHERE tenant=? AND account=? AND operation=? AND created<?", key)
        self._count -= gone.rowcount

    # --- accounts

    def account(self, tenant: str, account: str, now: int) -> Account:
        accounts = self._accounts.get(tenant)
        if accounts is None:
            accounts = self._accounts[tenant] = {}
        held = accounts.get(account)
        if held is not None:
            return held
        row = self._db.execute(
            "SELECT opened, used, succeeded, failed, canceled FROM account WHERE tenant=? AND account=?",
            (tenant, account),
        ).fetchone()
        if row is None:
            self._made += 1
            if self._made > self._room:
                self._forget_idle()
            self._write(
                "INSERT INTO account (tenant, account, opened, used) VALUES (?, ?, ?, 0)",
                (tenant, account, now),
            )
            held = Account(opened=now)
        else:
            held = Account(*row)
            open_tasks = self._db.execute(
                "SELECT record FROM task WHERE tenant=? AND account=? AND is_open ORDER BY number",
                (tenant, account),
            )
            tasks = [_load_task(record) for (record,) in open_tasks]
            held.open = {task.id: task for task in tasks}
            held.reserved = round(sum(task.price or 0.0 for task in tasks if not task.is_charged), 8)
        accounts[account] = held
        return held

    def _forget_idle(self) -> None:
        _drop_idle(self._accounts.values())
        self._write(
            "DELETE FROM account WHERE used=0 AND succeeded=0 AND failed=0 AND canceled=0 AND NOT EXISTS"
            " (SELECT 1 FROM task WHERE task.tenant=account.tenant AND task.account=account.account AND is_open)"
        )
        (left,) = self._db.execute("SELECT count(*) FROM account").fetchone()
        self._made, self._room = left + 1, max(MOST_IDLE, 2 * left)

    def accounts(self, tenant: str) -> Mapping[str, Account]:
        if tenant not in self._known_whole:
            names = self._db.execute("SELECT account FROM account WHERE tenant=?", (tenant,)).fetchall()
            for (name,) in names:
                self.account(tenant, name, 0)
            self._known_whole.add(tenant)
        return self._accounts.get(tenant, {})

    def held(self) -> Iterator[tuple[str, str, Account]]:
        for tenant, accounts in self._accounts.items():
            for name, account in accounts.items():
                yield tenant, name, account

    def hold(self, tenant: str, task: Task) -> None:
        account = self.account(tenant, task.account, task.created)
        account.hold(task)
        if task.is_charged and task.price:
            self._save_account(tenant, task.account, account)

    def settle(self, tenant: str, task: Task, amount: float, outcome: str | None) -> None:
        account = self._accounts[tenant][task.account]
        account.settle(task, amount, outcome)
        self.save(tenant, task)
        self._save_account(tenant, task.account, account)

    def _save_account(self, tenant: str, name: str, account: Account) -> None:
        self._write(
            "UPDATE account SET used=?, succeeded=?, failed=?, canceled=? WHERE tenant=? AND account=?",
            (account.used, account.succeeded, account.failed, account.canceled, tenant, name),
        )

    def save_quotas(self, tenant: str, holder: str, quotas: Mapping[str, float]) -> None:
        self._write("DELETE FROM quota WHERE tenant=? AND holder=?", (tenant, holder))
        for unit, quota in quotas.items():
            self._write("INSERT INTO quota VALUES (?, ?, ?, ?)", (tenant, holder, unit, quota))

    def quotas(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        out: dict[str, dict[str, dict[str, float]]] = {}
        for tenant, holder, unit, quota in self._db.execute("SELECT tenant, holder, unit, quota FROM quota"):
            out.setdefault(tenant, {}).setdefault(holder, {})[unit] = quota
        return out

    # --- deliveries

    def add_delivery(self, tenant: str, delivery: Delivery) -> None:
        number = self._numbers.get(tenant)
        if number is None:
            (number,) = self._db.execute(
                "SELECT coalesce(max(number), 0) FROM delivery WHERE tenant=?", (tenant,)
            ).fetchone()
        self._numbers[tenant] = delivery.number = number + 1
        self._write(
            "INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(tenant, delivery.id, delivery.number, delivery.task_id),
                *(int(delivery.is_open), _dump_delivery(delivery), delivery.body),
            ),
        )

    def save_delivery(self, tenant: str, delivery: Delivery) -> None:
        self._write(
            "UPDATE delivery SET is_open=?, record=?, body=? WHERE tenant=? AND id=?",
            (int(delivery.is_open), _dump_delivery(delivery), delivery.body, tenant, delivery.id),
        )
        if not delivery.is_open:
            self._trim(tenant, delivery.size_bytes)

    def _trim(self, tenant: str, size: int) -> None:
        """Drop the oldest finished deliveries, once in a thousand or in a tenth of the bytes that may be kept."""
        count, written = self._finished.get(tenant, (0, 0))
        count, written = count + 1, written + size
        self._finished[tenant] = (count, written)
        if count < 1000 and written < LEDGER_BYTES // 10:
            return
        self._finished[tenant] = (0, 0)
        gone = self._write(
            "DELETE FROM delivery WHERE tenant=? AND NOT is_open AND number <="
            " (SELECT max(number) FROM (SELECT number, row_number() OVER newest AS place,"
            " sum(length(record) + length(body)) OVER newest AS size FROM delivery"
            " WHERE tenant=? AND NOT is_open WINDOW newest AS (ORDER BY number DESC))"
            " WHERE place > ? OR size > ?)",
            (tenant, tenant, LEDGER_ENTRIES, LEDGER_BYTES),
        )
        self._dropped[tenant] = self._dropped.get(tenant, 0) + gone.rowcount

    def ledger(self, tenant: str) -> Ledger:
        kept, size = self._db.execute(
            "SELECT count(*), coalesce(sum(length(record) + length(body)) FILTER (WHERE NOT is_open), 0)"
            " FROM delivery WHERE tenant=?",
            (tenant,),
        ).fetchone()
        return Ledger(int(kept), int(size), self._dropped.get(tenant, 0))

    def delivery(self, tenant: str, delivery_id: str) -> Delivery | None:
        row = self._db.execute(
            "SELECT record, body FROM delivery WHERE tenant=? AND id=?", (tenant, delivery_id)
        ).fetchone()
        return None if row is None else _load_delivery(*row)

    def deliveries(self, tenant: str) -> Iterator[Delivery]:
        number = 1 << 62
        while True:
            # A piece at a time: all of them may be as large as a ledger may be, and often one is asked for.
            rows = self._db.execute(
                "SELECT number, record, body FROM delivery WHERE tenant=? AND number<?"
                " ORDER BY number DESC LIMIT 200",
                (tenant, number),
            ).fetchall()
            for _, record, body in rows:
                yield _load_delivery(record, body)
            if len(rows) < 200:
                return
            number = rows[-1][0]

    def open_deliveries(self, tenant: str) -> list[Delivery]:
        rows = self._db.execute(
            "SELECT record, body FROM delivery WHERE tenant=? AND is_open ORDER BY number", (tenant,)
        )
        return [_load_delivery(record, body) for record, body in rows]

    def deliveries_of(self, tenant: str, task_id: str) -> list[Delivery]:
        rows = self._db.execute(
            "SELECT record, body FROM delivery WHERE tenant=? AND task_id=? ORDER BY number",
            (tenant, task_id),
        )
        return [_load_delivery(record, body) for record, body in rows]

    # --- tenants

    def save_clock(self, tenant: str, clock: ClockState) -> None:
        self._write(
            "INSERT OR REPLACE INTO tenant VALUES (?, ?, ?, ?, ?)",
            (tenant, clock.base, clock.base_wall, clock.speed, int(clock.is_own)),
        )

    def tenants(self) -> Mapping[str, ClockState]:
        rows = self._db.execute("SELECT name, base, base_wall, speed, is_own FROM tenant")
        return {row[0]: ClockState(row[1], row[2], row[3], bool(row[4])) for row in rows}

    def save_horizon(self, tenant: str, horizon: int) -> None:
        self._write("INSERT OR REPLACE INTO horizon VALUES (?, ?)", (tenant, horizon))

    def horizon(self, tenant: str) -> int:
        row = self._db.execute("SELECT longest FROM horizon WHERE tenant=?", (tenant,)).fetchone()
        return 0 if row is None else int(row[0])

    def reset(self, tenant: str) -> None:
        for table, column in (
            *(("task", "tenant"), ("name", "tenant"), ("account", "tenant"), ("delivery", "tenant")),
            *(("quota", "tenant"), ("horizon", "tenant"), ("tenant", "name")),
        ):
            gone = self._write(f"DELETE FROM {table} WHERE {column}=?", (tenant,))  # noqa: S608
            self._count -= gone.rowcount if table == "task" else 0
        self._places = {key: place for key, place in self._places.items() if key[0] != tenant}
        self._accounts.pop(tenant, None)
        self._known_whole.discard(tenant)
        self._numbers.pop(tenant, None)
        self._finished.pop(tenant, None)
        self._dropped.pop(tenant, None)


def _dump_task(task: Task) -> bytes:
    return orjson.dumps(asdict(task))


def _load_task(record: bytes) -> Task:
    values = orjson.loads(record)
    values["timeline"] = tuple((at, state) for at, state in values["timeline"])
    values["course"] = tuple((at, state) for at, state in values.get("course", ()))
    values["rules"] = tuple(values["rules"])
    values["hooks"] = tuple((name, url) for name, url in values["hooks"])
    values["shape"] = None if values["shape"] is None else Shape(**values["shape"])
    return Task(**values)


def _dump_delivery(delivery: Delivery) -> bytes:
    values = asdict(delivery)
    del values["body"]
    return orjson.dumps(values)


def _load_delivery(record: bytes, body: bytes) -> Delivery:
    values = orjson.loads(record)
    values["attempts"] = tuple(
        Attempt(**{**one, "headers": tuple((name, value) for name, value in one["headers"])})
        for one in values["attempts"]
    )
    return Delivery(**values, body=body)


def open_store(path: str | None) -> Store:
    """Return the store in this file, or in memory for None; raises StoreError."""
    return MemoryStore() if path is None else SqliteStore(path)
