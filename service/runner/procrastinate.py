"""Runs syncs on procrastinate, an engine of jobs on PostgreSQL: any number of worker processes.

One invariant makes this safe: every sync that is pending or in progress has a job that waits, or
one that a living worker runs. The job is written with the start of the sync, and `rescue` restores
the invariant after a crash. A worker lives while it holds a lock of its session, which the server
releases as soon as the process ends, and signals that it is alive, which a process that hangs does
not. A worker that is wrongly thought dead may run on for a while; its writes are refused, since
another process has made the next version of the sync."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import procrastinate
import psycopg
import structlog
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.jobs import Status as JobStatus
from procrastinate.manager import JobManager

from service.model import Sync
from service.runner.base import Owner, Run, Worker
from service.runner.connector import BoundedConnector
from service.store.engine import Engine, Statement
from service.store.postgres_session import END_INTERRUPTED, LIBPQ

QUEUE = "syncs"
HEARTBEAT = 2.0
"""Seconds between two heartbeats of a worker."""
DEAD_AFTER = 8.0
"""Seconds without a heartbeat after which a worker's syncs are given to others."""
STALLED_AFTER = 32.0
"""Seconds after which the engine itself removes a worker from its list."""
POLL = 1.0
"""Seconds between two polls for jobs, in case a notification was lost."""
LONGEST_PAUSE = 5.0
"""Maximum seconds between two attempts to reach the database."""
LONGEST_STOP = 3.0
"""Maximum seconds until the engine has stopped."""
FAIRNESS = 1000
"""Each live sync of a tenant lowers the priority of the tenant's next sync by this much."""
BEGUN = 1_000_000
"""Raises the priority of an interrupted sync above all waiting ones."""

_LIVE = "status IN ('pending', 'in_progress')"
_WORKER = "hashtextextended('seller-sync worker ' || {id}, 0)"
"""The lock that a worker holds while its process lives, by the worker's id in the engine."""
_DEAD = f"""
FROM procrastinate_jobs AS jobs LEFT JOIN procrastinate_workers AS workers
    ON workers.id = jobs.worker_id
 WHERE jobs.status = 'doing' AND jobs.queue_name = '{QUEUE}'
   AND (workers.id IS NULL
        OR workers.last_heartbeat < now() - make_interval(secs => {DEAD_AFTER})
        OR pg_try_advisory_xact_lock({_WORKER.format(id="workers.id")}))
"""
_LOCK = f"SELECT pg_advisory_lock({_WORKER.format(id='%(id)s::bigint')})"
_HEARTBEAT = "SELECT procrastinate_update_heartbeat_v1(%(id)s)"
_FINISH = f"SELECT procrastinate_finish_job_v1(jobs.id, 'aborted', true) {_DEAD}"


def _without_job(unless: str) -> str:
    return f"""NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS jobs
                            WHERE jobs.lock = live.id AND jobs.status IN ({unless}))"""


def _defer(condition: str, unless: str) -> str:
    return f"""
SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
           '{QUEUE}', 'sync', live.priority, live.id, live.id,
           jsonb_build_object('sync_id', live.id), NULL)::procrastinate_job_to_defer_v1])
  FROM (SELECT id, CAST(COALESCE(CAST(CAST(body AS JSONB) #>> '{{options,priority}}' AS INTEGER), 0)
                        - {FAIRNESS} * (SELECT COUNT(*) FROM sync_progress AS others
                                         WHERE others.tenant_id = own.tenant_id
                                           AND others.id <> own.id AND others.{_LIVE})
                        + CASE WHEN status = 'in_progress' THEN {BEGUN} ELSE 0 END
                        AS INTEGER) AS priority
          FROM sync_progress AS own WHERE {_LIVE} {condition}) AS live
 WHERE {_without_job(unless)}
"""


_DEFER = _defer("AND id = :id", "'todo'")
_RESCUE = _defer("", "'todo', 'doing'")
_LOST = f"""
SELECT jobs.lock AS id {_DEAD}
UNION ALL
SELECT live.id FROM sync_progress AS live
 WHERE {_LIVE} AND {_without_job("'todo', 'doing'")}
"""
"""The syncs of dead workers, and those without a job."""

_UNHINDERED = "SELECT pg_try_advisory_xact_lock(hashtextextended('rescue', 0)) AS unhindered"
"""Whether no process holds the lock of a rescue: it may have stopped, and a wait would be long."""

_DOING = f"""
SELECT jobs.lock AS sync_id, jobs.worker_id AS worker,
       (SELECT MAX(events.at) FROM procrastinate_events AS events
         WHERE events.job_id = jobs.id AND events.type = 'started') AS since
  FROM procrastinate_jobs AS jobs
 WHERE jobs.status = 'doing' AND jobs.queue_name = '{QUEUE}' AND jobs.worker_id IS NOT NULL
"""

log = structlog.get_logger()


class ProcrastinateRunner:
    """Runs syncs of this cluster in this process, at most `max_at_once` at once. If it is 0,
    none."""

    def __init__(self, url: str, engine: Engine, max_at_once: int) -> None:
        self._engine = engine
        self._max_at_once = max_at_once
        self._url = url
        self._connector = BoundedConnector(url)
        self._jobs = _Jobs(self._connector)
        #: One entry for each run: a sync may come back before its earlier run here has ended.
        self._running: list[str] = []
        self._closing = False

    def job(self, sync: Sync) -> Sequence[Statement]:
        return (Statement(_DEFER, [{"id": sync.id}]),)

    def submit(self, sync: Sync) -> None:
        """Do nothing: the job was written with the start."""

    def runs(self, sync_id: str) -> bool:
        return sync_id in self._running

    def here(self) -> Worker:
        worker = self._jobs.worker_id
        name = None if worker is None else _name(worker)
        return Worker(name, len(self._running), self._max_at_once)

    async def owners(self) -> Mapping[str, Owner]:
        doing = await self._engine.read(_DOING, {})
        return {row["sync_id"]: Owner(_name(row["worker"]), row["since"]) for row in doing}

    async def rescue(self) -> bool:
        if await self._engine.read(END_INTERRUPTED, {}):
            log.warning("sessions_ended", reason="Their processes stopped within a request.")
        (rescues,) = await self._engine.read(_UNHINDERED, {})
        if not rescues["unhindered"]:
            return False  # another process is at it, or has stopped within its rescue
        # Alone: two rescues at once would give a sync two jobs, which the engine refuses.
        lost = Statement(_LOST, [{}], alone=("rescue",))
        steps = [Statement(_FINISH, [{}]), Statement(_RESCUE, [{}])]
        rescued = await self._engine.write(lost, steps)
        if rescued:
            log.warning("syncs_rescued")
        return rescued

    @asynccontextmanager
    async def open(self, run: Run) -> AsyncIterator[None]:
        if not self._max_at_once:
            yield
            return
        app = procrastinate.App(connector=self._connector)
        app.job_manager = self._jobs

        @app.task(name="sync", queue=QUEUE)
        async def _sync(sync_id: str) -> None:
            await self._run_one(run, sync_id)

        # Not in a task group: the engine closes in several steps after a cancellation, and a cancel
        # scope would cancel each of them again.
        working = asyncio.create_task(self._work(app))
        try:
            yield
        finally:
            self._closing = True
            working.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({working}, timeout=LONGEST_STOP)
                await self._connector.abandon()

    async def _run_one(self, run: Run, sync_id: str) -> None:
        self._running.append(sync_id)
        try:
            await run(sync_id)
        except Exception:
            log.exception("sync_crashed", sync_id=sync_id)
        finally:
            self._running.remove(sync_id)

    async def _work(self, app: procrastinate.App) -> None:
        """Run a worker, and restart it whenever it ends because the database is unavailable."""
        pause = 0.1
        while not self._closing:
            try:
                async with app.open_async(), await _connect(self._url) as held:
                    pause = 0.1
                    await self._work_once(app, held)
            except Exception as error:
                log.error("worker_interrupted", reason=str(error))
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _work_once(self, app: procrastinate.App, held: psycopg.AsyncConnection) -> None:
        """Run a worker until its session is lost."""
        working = asyncio.ensure_future(
            app.run_worker_async(
                queues=[QUEUE],
                concurrency=self._max_at_once,
                install_signal_handlers=False,
                update_heartbeat_interval=HEARTBEAT,
                stalled_worker_timeout=STALLED_AFTER,
                shutdown_graceful_timeout=0.2,
                delete_jobs="always",
                fetch_job_polling_interval=POLL,
                listen_notify=True,
            )
        )
        self._jobs.held, self._jobs.stop = held, working.cancel
        try:
            await working
        except asyncio.CancelledError:
            if self._closing:
                raise
            log.error("worker_interrupted", reason="Its session with the database was lost.")


class _Jobs(JobManager):
    """The engine's own statements, with two changes."""

    #: The session of the worker.
    held: psycopg.AsyncConnection
    #: Stops the worker.
    stop: Callable[[], object]
    #: The engine's id of the worker of this process; None without one.
    worker_id: int | None = None

    async def register_worker(self) -> int:
        """Take the lock that the worker holds while its process lives."""
        worker_id = await super().register_worker()
        await self.held.execute(_LOCK, {"id": worker_id})
        self.worker_id = worker_id
        return worker_id

    async def update_heartbeat(self, worker_id: int) -> None:
        """Send the heartbeat in the session with the lock. If the session is lost, stop the worker,
        which the engine does not do: the next worker takes a new lock."""
        try:
            with anyio.fail_after(DEAD_AFTER):  # psycopg may wait forever in a lost session
                await self.held.execute(_HEARTBEAT, {"id": worker_id})
        except (psycopg.Error, TimeoutError):
            self.stop()

    async def finish_job(self, job: Job, status: JobStatus, delete_job: bool) -> None:
        """Finish a job, unless it was given to another worker meanwhile. If the database does not
        allow it, stop the worker: as the job of an ended worker, it is finished by a rescue."""
        try:
            await super().finish_job(job, status, delete_job)
        except ConnectorException as error:
            if isinstance(error.__cause__, psycopg.errors.RaiseException):
                log.info("sync_overtaken", sync_id=job.lock)
                return
            log.warning("job_not_finished", sync_id=job.lock, reason=str(error.__cause__ or error))
            self.stop()


def _name(worker: int) -> str:
    return f"worker-{worker}"


async def _connect(url: str) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(url, autocommit=True, **LIBPQ)
