"""The limits of a session of PostgreSQL: every wait for a statement, a lock or the network has one.

They are set by a statement, since poolers refuse them as parameters of the connection. When the
client gives up, it closes the connection, and the server ends the statement at its own limit."""

import socket
from typing import Any

APPLICATION = "seller-sync"
"""The name of the service's connections in `pg_stat_activity`."""
CONNECT_TIMEOUT = 10.0
"""Seconds within which the server must accept a connection."""
ACQUIRE_TIMEOUT = 10.0
"""Seconds for which a call waits for a free connection of the pool."""
ANSWER_TIMEOUT = 15.0
"""Seconds within which the server must answer a read, a write of one statement, or the first
statements of another write. A page of rows takes milliseconds, the longest read of the API under a
second with a million rows."""
BULK_TIMEOUT = 60.0
"""The same for the other statements of a write, which may hold thousands of rows."""
CLOSE_TIMEOUT = 3.0
"""Seconds that the connections get to close."""
MIGRATION_TIMEOUT = 3600
"""Seconds for one statement of a migration, which may build an index of all records."""
MIGRATION_LOCK_TIMEOUT = 60
"""Seconds for which a migration waits for another one, or for running statements."""

# A paused process (SIGSTOP, a lost machine) may hold a lock that all starts of a tenant need: its
# transaction is ended. A transaction here never waits for anything but the database. The server
# does that itself only between two requests; see END_INTERRUPTED.
_IDLE_IN_TRANSACTION = 5
_LOCK = 10
# The server finds lost clients in a minute, instead of two hours, and frees their connections.
_KEEPALIVE = {"idle": 30, "interval": 10, "count": 3}
_UNANSWERED_MS = 15_000

SESSION = "; ".join(
    (
        f"SET statement_timeout = '{BULK_TIMEOUT:g}s'",
        f"SET lock_timeout = '{_LOCK}s'",
        f"SET idle_in_transaction_session_timeout = '{_IDLE_IN_TRANSACTION}s'",
        # Every statement of the service looks up an index. For a small or new table, the planner
        # would read all rows, and keep that plan while the table grows.
        "SET enable_seqscan = off",
        "SET jit = off",
        *(f"SET tcp_keepalives_{name} = {value}" for name, value in _KEEPALIVE.items()),
    )
)
END_INTERRUPTED = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = '{APPLICATION}'
   AND state = 'active' AND wait_event = 'ClientRead'
   AND state_change < now() - make_interval(secs => {_IDLE_IN_TRANSACTION})
"""
"""Ends the sessions of processes that stopped in the middle of a request: asyncpg sends a new
statement in two parts. No time-out of PostgreSQL 16 and older covers the moment between them."""
# A download waits for its client between two reads, which has limits of its own.
SNAPSHOT = "; ".join(
    (
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET LOCAL idle_in_transaction_session_timeout = '120s'",
    )
)
"""Begins a transaction in which every statement sees the database as the first one does."""
MIGRATION = "; ".join(
    [
        f"SET statement_timeout = '{MIGRATION_TIMEOUT}s'",
        f"SET lock_timeout = '{MIGRATION_LOCK_TIMEOUT}s'",
    ]
)
LIBPQ: dict[str, Any] = {
    "connect_timeout": int(CONNECT_TIMEOUT),
    "application_name": APPLICATION,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": _UNANSWERED_MS,
}
"""Parameters of connections by psycopg: a silent network is noticed within half a minute."""


async def prepare(connection: Any) -> None:
    """Set the limits of a new connection of asyncpg."""
    _watch_network(connection)
    await connection.execute(SESSION)


def _watch_network(connection: Any) -> None:
    """Set the network limits of LIBPQ for asyncpg, which has no parameters for them."""
    bound = connection._transport.get_extra_info("socket")
    if bound is None or bound.family not in (socket.AF_INET, socket.AF_INET6):
        return
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, LIBPQ["keepalives_idle"])
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, LIBPQ["keepalives_interval"])
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, LIBPQ["keepalives_count"])
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_MS)
