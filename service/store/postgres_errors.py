"""Explains errors of PostgreSQL, with their remedies. The drivers share the codes of the server."""

import socket
from urllib.parse import urlsplit

from service.check import Check, problem

_ANSWERS = {
    "28P01": ("PostgreSQL refuses the user or the password.", "Correct DATABASE_URL."),
    "28000": ("PostgreSQL refuses the user.", "Correct DATABASE_URL, or allow it in pg_hba.conf."),
    "3D000": ("There is no such database.", "Create it, or correct the name in DATABASE_URL."),
    "42501": (
        "The user of DATABASE_URL lacks a privilege.",
        "Make it the owner of the database, and of its tables.",
    ),
    "53300": (
        "PostgreSQL has no free connection.",
        "Raise max_connections, or lower DATABASE_POOL or the number of processes.",
    ),
    "25P03": (
        "PostgreSQL ended a transaction of this process that paused for too long.",
        "Give the process more processor time.",
    ),
    "25006": (
        "The database is read-only.",
        "Set DATABASE_URL to the primary server, with default_transaction_read_only off.",
    ),
    "53100": ("The disk of PostgreSQL is full.", "Free up space on it."),
    "55P03": (
        "Another process holds a lock for too long.",
        "Wait until a running migration has ended; pg_stat_activity shows who holds the lock.",
    ),
    "57014": (
        "A statement took too long.",
        "Look for locks and load in pg_stat_activity.",
    ),
    "57P03": ("PostgreSQL is starting or stopping.", "Wait until it runs."),
}
"""The message for a code of PostgreSQL, and the remedy."""
REMEDIES = {code: remedy for code, (_, remedy) in _ANSWERS.items()}
_PASSING = ("08", "25006", "25P03", "53", "55P03", "57")
"""Codes, or their classes, of faults that may pass: network, resources, operators."""


def explain(error: BaseException, url: str = "") -> Check:
    """Describe an error of a driver, with its remedy."""
    code = str(getattr(error, "sqlstate", None) or "")
    reason = " ".join(str(error).split()) or type(error).__name__
    if code == "08P01" and "no such database" in reason:  # pgbouncer
        code = "3D000"
    passing = not code or code.startswith(_PASSING)
    if code in _ANSWERS:
        text, remedy = _ANSWERS[code]
        return problem("database", f"{text[:-1]} ({reason}).", remedy, passing)
    server = f"PostgreSQL{_place(url)}"
    if isinstance(error, socket.gaierror):
        text, remedy = f"The host of {server} is unknown.", "Correct DATABASE_URL, or the DNS."
    elif _lost(error):
        text = f"{server} ended a session of this process: {reason}."
        remedy = "Look into the log of the server; this process may have too little processor time."
    elif isinstance(error, TimeoutError):
        text = f"{server} does not answer in time."
        remedy = "Check the server, the network and firewalls."
    elif isinstance(error, ConnectionRefusedError) or "Connect call failed" in reason:
        text = f"{server} is unreachable: nothing listens there."
        remedy = "Start it, or correct DATABASE_URL."
    else:
        text, remedy = f"{server} cannot be used: {reason}.", "Check DATABASE_URL and the server."
    return problem("database", text, remedy, passing)


def _lost(error: BaseException) -> bool:
    """Whether asyncpg met a session that the server had ended, as it does with paused ones."""
    code = getattr(error, "sqlstate", "08003")
    return type(error).__module__.startswith("asyncpg.") and code == "08003"


def _place(url: str) -> str:
    """The host and port of an address, without its password."""
    parts = urlsplit(url)
    return f" at {parts.hostname}:{parts.port or 5432}" if parts.hostname else ""
