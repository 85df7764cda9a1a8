"""Checks that the pages of a sync belong to the connected account."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import anyio

from connectors.base import Connection, Page, Retryable
from service.connections import Connections


class Recognition:
    """Compares the account that pages name with the account of the connection.

    `confirmed` is false after a reconnect until the source has returned the account. Then no page
    is stored before one of the datasets in `naming` has named the account, or has shown that it
    does not."""

    def __init__(
        self,
        connections: Connections,
        connection: Connection,
        naming: Sequence[str],
        confirmed: bool,
    ) -> None:
        self._connections = connections
        self._connection = connection
        self._account = connection.account_id
        self._naming = set(naming)
        self._settled = anyio.Event()
        self._failure = ""
        if confirmed or not naming:
            self._settled.set()

    async def check(self, dataset: str, page: Page) -> None:
        """Call before a page is stored. Raises OtherAccount, AlreadyConnected or Retryable."""
        if page.account and page.account != self._account:
            await self._connections.confirm_account(self._connection, page.account)
            self._account = page.account
            self._settled.set()
        if dataset not in self._naming:
            await self._settled.wait()
            if self._failure:
                raise Retryable(self._failure)
        elif page.records:
            self._settled.set()  # this page names no account, so no later page will

    @contextmanager
    def reading(self, dataset: str) -> Iterator[None]:
        """Keep open while a dataset is read. At the end, other datasets stop waiting for it."""
        try:
            yield
        except Retryable:
            if not self._settled.is_set():
                self._failure = "The source cannot confirm the account yet."
            raise
        finally:
            self._naming.discard(dataset)
            if not self._naming:
                self._settled.set()
