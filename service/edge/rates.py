"""How often a user may ask: so many requests a minute, if the operator has set it."""

import math
from collections import OrderedDict

from connectors.base import Clock
from service.errors import TooManyRequests

MINUTE = 60.0
REMEMBERED = 100_000


class Rates:
    """The generic cell rate algorithm: of each user only the moment is kept at which all that he
    has asked for will have been earned. A minute's worth may come at once."""

    def __init__(self, most_a_minute: int, clock: Clock) -> None:
        self._pace = MINUTE / most_a_minute if most_a_minute else 0.0
        self._clock = clock
        self._earned: OrderedDict[str, float] = OrderedDict()

    def count(self, user: str) -> None:
        """One more request. Raises TooManyRequests saying when the next will do."""
        if not self._pace:
            return
        now = self._clock.now().timestamp()
        earned = self._earned.pop(user, now)
        if earned > now + MINUTE:  # further ahead than it can be: the clock was set back
            earned = now
        after = max(earned, now) + self._pace
        allowed = after <= now + MINUTE + 1e-6
        self._earned[user] = after if allowed else earned
        if len(self._earned) > REMEMBERED:
            self._earned.popitem(last=False)
        if not allowed:
            raise TooManyRequests(headers={"Retry-After": str(math.ceil(after - now - MINUTE))})
