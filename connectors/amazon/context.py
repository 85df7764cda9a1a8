"""What a dataset is here, and what its reader is given."""

from collections.abc import AsyncIterator, Callable

import msgspec

from connectors.amazon.client import AmazonClient
from connectors.base import Clock, Connection, Cursor, Dataset, Page, Waiting, Way, Window


class ReadContext(msgspec.Struct, frozen=True):
    """The arguments of one read, the cursor apart."""

    client: AmazonClient
    clock: Clock
    connection: Connection
    window: Window
    waiting: Waiting


class AmazonDataset(msgspec.Struct, frozen=True):
    """A dataset: what the service sees of it, how it is read and how long that takes."""

    about: Dataset
    #: Yields its pages from a cursor on.
    read: Callable[[ReadContext, Cursor | None], AsyncIterator[Page]]
    #: How a window will be read, and for how long. No network.
    plan: Callable[[AmazonClient, Connection, Window], Way]
