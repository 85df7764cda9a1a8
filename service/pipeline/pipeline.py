"""One sync: check the account, read the datasets, detect claims, finish."""

from contextlib import suppress
from datetime import datetime, timedelta

import anyio
import structlog
from structlog.contextvars import bound_contextvars

from connectors.base import Connection, ConnectionLost, ConnectorError, Retryable
from service.errors import IllegalMove, NotFound, Overtaken, WrongAccount
from service.intake import reason
from service.model import Fault, Status, Sync
from service.pipeline.accounts import Recognition
from service.pipeline.completing import complete_datasets
from service.pipeline.coverage import coverages_of
from service.pipeline.detection import detect_claims
from service.pipeline.held import HeldSync
from service.pipeline.patience import IN_TIME, RETRIES, Patience
from service.pipeline.reading import Reading
from service.pipeline.refresh import delete_missing
from service.pipeline.resources import Resources
from service.progress import CLAIMS, Stage
from service.store.records import covered

log = structlog.get_logger()


class Pipeline:
    """Runs syncs. Its only state is a cancel scope for each run."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._scopes: dict[str, anyio.CancelScope] = {}

    def on_change(self, sync: Sync) -> None:
        """Stop a run at once, even while it sleeps, when its sync was cancelled anywhere."""
        scope = self._scopes.get(sync.id)
        if scope and sync.status not in (Status.PENDING, Status.IN_PROGRESS):
            scope.cancel()

    def syncs(self) -> frozenset[str]:
        """The ids of the syncs that run here."""
        return frozenset(self._scopes)

    async def run(self, sync_id: str) -> None:
        # The task may have been started in a request, perhaps of another user.
        structlog.contextvars.unbind_contextvars("request_id")
        registry = self._resources.registry
        # Cancelled, or held by another process: this run must not decide how the sync ends.
        with suppress(IllegalMove, Overtaken, NotFound):
            sync = await registry.take(sync_id)
            if earlier := self._scopes.get(sync_id):
                # The engine thought this process dead, then gave the sync back to it.
                log.warning("run_replaced", sync_id=sync_id)
                earlier.cancel()
            # Only now: what happened to an earlier attempt must not stop this one.
            scope = self._scopes[sync_id] = anyio.CancelScope()
            try:
                # Every line of the run names its sync, also those of connectors and libraries.
                named = bound_contextvars(sync_id=sync.id, tenant=sync.tenant)
                with named, scope, self._resources.pacer.running():
                    if registry.is_newest(sync):  # not cancelled meanwhile
                        await _Run(self._resources, sync).finish()
            finally:
                if self._scopes.get(sync_id) is scope:
                    del self._scopes[sync_id]


class _Run:
    """The attempts of one sync in this process."""

    def __init__(self, resources: Resources, sync: Sync) -> None:
        self._resources = resources
        self._held = HeldSync(resources, sync)
        self._patience = Patience(resources.patience, resources.clock)

    async def finish(self) -> None:
        """Run the sync until it ends or pauses. Temporary failures are retried; the count of
        retries restarts whenever records are read."""
        now = self._resources.clock.now()
        if self._held.sync.stalled(now, self._resources.stall_timeout):
            text = "The sync was interrupted repeatedly and made no progress."
            await self._held.fail(Fault("stalled", text, retryable=True))
            return
        while fault := await self._attempt():
            if not fault.retryable or self._held.sync.retries >= RETRIES:
                await self._held.fail(fault)
                return
            await self._pause_after(fault)

    async def _attempt(self) -> Fault | None:
        """Make an attempt. Returns why it failed; None if the sync ended or paused."""
        timeout = self._resources.timeout
        ends = self._resources.clock.now() + timedelta(seconds=timeout * IN_TIME)
        try:
            with anyio.fail_after(timeout):
                await self._steps(ends)
        except TimeoutError:
            return Fault("timeout", f"The sync took longer than {timeout:,.0f} s.")
        except ConnectionLost as error:
            lost = Fault(error.code, reason(error))
            await self._resources.connections.mark_lost(self._held.sync.connection_id, lost.message)
            await self._held.change(lambda sync, now: sync.paused(lost, now))
        except ConnectorError as error:
            return Fault(error.code, reason(error), isinstance(error, Retryable))
        except WrongAccount as error:
            return Fault(error.code, error.detail)
        except (IllegalMove, Overtaken):
            raise
        except Exception:
            log.exception("sync_failed_unexpectedly")
            text = "The sync failed because of an internal error. See the log of the service."
            return Fault("internal_error", text, retryable=True)
        return None

    async def _pause_after(self, fault: Fault) -> None:
        """Announce the next retry, and sleep until then."""
        sync = self._held.sync
        pause = self._patience.before_retry(sync.retries)
        log.info("sync_retried", code=fault.code, seconds=round(pause, 1))
        await self._held.change(
            lambda sync, now: sync.retrying(fault, now + timedelta(seconds=pause), now)
        )
        await self._resources.clock.sleep(pause)

    async def _steps(self, ends: datetime) -> None:
        """Run the steps of an attempt. A step that an earlier attempt has completed is skipped."""
        resources, held = self._resources, self._held
        connection = await resources.connections.open(held.sync.connection_id)
        recognition = await self._recognise(connection)
        if not all(dataset.ended for dataset in held.sync.read_datasets):
            reading = Reading(resources, held, connection, recognition, self._patience, ends)
            await reading.read_all()
        coverages = await coverages_of(held, resources.records)
        if not held.sync.dataset(CLAIMS).ended:
            await held.enter(Stage.PROCESSING, "Detecting claims")
            await delete_missing(resources, held)
            await complete_datasets(resources, held, connection, coverages)
            await detect_claims(resources, held, coverages)
        if held.sync.stage is not Stage.FINALIZING:
            await held.enter(Stage.FINALIZING, "Finishing")
        if held.sync.options.dry_run:
            coverages = {}
        await held.change(lambda sync, now: sync.completed(now), covered(held.sync, coverages))

    async def _recognise(self, connection: Connection) -> Recognition:
        """Check the account now; pages that name their account are compared as they arrive."""
        connections, held = self._resources.connections, self._held
        confirmed = await connections.check(connection, held.announcer(None))
        unread = [dataset.name for dataset in held.sync.read_datasets if not dataset.ended]
        naming = [name for name in unread if held.dataset(name).names_account]
        return Recognition(connections, connection, naming, confirmed)
