"""Warnings of a sync: what its user should know although the sync continues. No I/O."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Code(StrEnum):
    """The kind of a warning, for programs."""

    #: Something that the connector noticed while it read.
    SOURCE = "source"
    #: Records that could not be read.
    RECORDS_FAILED = "records_failed"
    #: A dataset that could not be read completely, or not at all.
    DATASET_INCOMPLETE = "dataset_incomplete"
    #: Records that other datasets show are missing.
    RECORDS_MISSING = "records_missing"
    #: A full refresh that deleted nothing from a dataset.
    NOTHING_DELETED = "nothing_deleted"
    #: Rules that could not run, so more claims may exist.
    RULES_SKIPPED = "rules_skipped"
    #: Claims that could not be detected.
    CLAIMS_UNKNOWN = "claims_unknown"


class SyncWarning(msgspec.Struct, frozen=True):
    """One warning. The message is for the user."""

    code: Code
    message: str
    #: The name of the dataset that it concerns; None for the whole sync.
    dataset: str | None = None
    #: The number of records, rules or days that it concerns; else of its occurrences.
    count: int = 1


Warnings = tuple[SyncWarning, ...]


def with_warnings(known: Warnings, new: Sequence[SyncWarning]) -> Warnings:
    """The warnings with further ones. A warning that the source repeats is counted, not added
    again; one about several datasets concerns the whole sync."""
    warnings = list(known)
    for warning in new:
        number = next((n for n, old in enumerate(warnings) if _same(old, warning)), None)
        if number is None:
            warnings.append(warning)
        elif warning.code is Code.SOURCE:
            warnings[number] = _together(warnings[number], warning)
    return tuple(warnings)


def _same(one: SyncWarning, other: SyncWarning) -> bool:
    return (one.code, one.message) == (other.code, other.message)


def _together(one: SyncWarning, other: SyncWarning) -> SyncWarning:
    dataset = one.dataset if one.dataset == other.dataset else None
    return msgspec.structs.replace(one, dataset=dataset, count=one.count + other.count)
