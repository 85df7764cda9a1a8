"""Compares the clock of this machine with that of the database, which other machines share."""

from service.check import Check, ok, warning

APART = 5.0
"""Seconds; clocks further apart are reported."""


def check_clock(ahead: float) -> Check:
    """Compare this machine's clock with the server's; `ahead` in seconds."""
    if abs(ahead) <= APART:
        return ok("clock", f"This machine's clock is {abs(ahead):.1f} s from the database's clock.")
    direction = "ahead of" if ahead > 0 else "behind"
    return warning(
        "clock",
        f"This machine's clock is {abs(ahead):.0f} s {direction} the database's clock: schedules "
        "start early or late, tokens are accepted or refused wrongly, and syncs of a dead process "
        "are taken over late.",
        "Synchronise the clocks of all machines (NTP).",
    )
