"""The dataset of this connector, and the arguments of its reader."""

from collections.abc import AsyncIterator, Callable

import msgspec

from connectors.amazon.client import AmazonClient
from connectors.base import Clock, Connection, Cursor, Dataset, Page, Waiting, Way, Window


class ReadContext(msgspec.Struct, frozen=True):
    """The arguments of one read, except the cursor."""

    client: AmazonClient
    clock: Clock
    connection: Connection
    window: Window
    waiting: Waiting


class AmazonDataset(msgspec.Struct, frozen=True):
    """A dataset: its public description, how it is read and how long that takes."""

    about: Dataset
    #: Yields its pages, starting at a cursor.
    read: Callable[[ReadContext, Cursor | None], AsyncIterator[Page]]
    #: Plans how a window is read and how long it takes. No network.
    plan: Callable[[AmazonClient, Connection, Window], Way]
