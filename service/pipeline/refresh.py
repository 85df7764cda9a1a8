"""Full refreshes: delete the records that the source no longer has."""

from service.pipeline.held import HeldSync
from service.pipeline.resources import Resources
from service.progress import DatasetProgress
from service.store.records import Sweep
from service.warnings import Code, SyncWarning

#: The share of a dataset that a full refresh may delete without `allow_mass_delete`.
MASS = 0.1


async def delete_missing(resources: Resources, held: HeldSync) -> None:
    """Delete the records that a complete read did not return, unless their number suggests that
    the read was wrong."""
    if not held.sync.options.overwrite:
        return
    for dataset in held.sync.read_datasets:
        if not dataset.fully_read:
            await _keep_all(held, dataset, _unread(dataset))
            continue
        now = resources.clock.now()
        sweep = await resources.records.sweep(held.sync, dataset, now, resources.items)
        if why := _doubt(held, dataset, sweep):
            await _keep_all(held, dataset, f"{why}; set allowMassDelete to delete them")
        elif sweep.gone:
            await _delete(held, dataset.name, sweep)


def _unread(dataset: DatasetProgress) -> str:
    """The reason why a record that was not read may still exist."""
    if dataset.presumed_empty:
        return "the source has not confirmed yet that it has no records"
    return "not all records could be read"


def _doubt(held: HeldSync, dataset: DatasetProgress, sweep: Sweep) -> str:
    """The reason why the records that were not returned may still exist; empty if there is none."""
    if held.sync.options.allow_mass_delete or not sweep.gone:
        return ""
    if sweep.gone > MASS * sweep.reached:
        return f"{sweep.gone:,} of {sweep.reached:,} records were not returned"
    if held.dataset(dataset.name).lasting:
        return f"the {sweep.gone:,} records that were not returned may only have changed"
    return ""


async def _delete(held: HeldSync, name: str, sweep: Sweep) -> None:
    await held.change(lambda sync, now: sync.with_deleted(name, sweep.gone, now), *sweep.statements)


async def _keep_all(held: HeldSync, dataset: DatasetProgress, why: str) -> None:
    text = f"Nothing was deleted from {dataset.label}: {why}."
    warning = SyncWarning(Code.NOTHING_DELETED, text, dataset.name)
    if warning not in held.sync.warnings:  # an interrupted refresh warns once
        await held.change(lambda sync, now: sync.warned(warning, now))
