"""Checks the application's settings at Amazon, without a seller's account."""

from collections.abc import Sequence
from datetime import timedelta

import anyio

from connectors.amazon.auth import Tokens
from connectors.amazon.clock import SourceClock
from connectors.amazon.settings import AmazonSettings
from connectors.base import ConnectionLost, ConnectorError, Misconfigured
from connectors.findings import Finding

NOBODY = "Atzr|nobody"
"""No seller's refresh token: Amazon refuses it as `invalid_grant` once it has accepted the
application, and an unknown application as `invalid_client` (RFC 6749, section 5.2)."""
PATIENCE = 15.0
"""Seconds until Amazon's login counts as unreachable."""
WRONG_CLOCK = timedelta(seconds=5)
CALLBACK = "https://<host of this service>/api/connections/amazon/callback"


async def examine(
    settings: AmazonSettings, tokens: Tokens, clock: SourceClock
) -> Sequence[Finding]:
    """Check the credentials, then by the response the clock, and what the consent page needs."""
    credentials = await _check_credentials(settings, tokens)
    return [credentials, *_check_clock(clock), _check_consent(settings)]


async def _check_credentials(settings: AmazonSettings, tokens: Tokens) -> Finding:
    name = "credentials"
    if missing := settings.missing:
        text = f"{' and '.join(missing)} are not set: no account of Amazon can be read."
        return Finding(name, text, "Set them, or leave amazon out of CONNECTORS.")
    try:
        with anyio.fail_after(PATIENCE):
            await tokens.get(NOBODY)
    except ConnectionLost:
        pass  # the application was accepted, and nobody's token refused
    except Misconfigured as error:
        where = "They are in Seller Central, under Develop Apps, LWA credentials."
        return Finding(name, str(error), where, serious=True)
    except (ConnectorError, TimeoutError) as error:
        why = str(error) or f"no answer within {PATIENCE:.0f} s."
        text = f"Amazon's login {settings.lwa_url} does not respond: {why}"
        remedy = "Check AMAZON_LWA_URL, the network, and its proxy or firewall."
        return Finding(name, text, remedy, serious=True)
    return Finding(name, "Amazon accepts the application's credentials.")


def _check_clock(clock: SourceClock) -> Sequence[Finding]:
    if not clock.known:
        return ()
    seconds = abs(clock.measured.total_seconds())
    side = "behind" if clock.measured > timedelta(0) else "ahead of"
    if abs(clock.measured) < WRONG_CLOCK:
        return [Finding("source clock", "This computer's clock agrees with Amazon's.")]
    text = f"This computer's clock is {seconds:,.0f} s {side} Amazon's."
    return [Finding("source clock", text, "Set it by NTP: tokens and windows depend on it.")]


def _check_consent(settings: AmazonSettings) -> Finding:
    if not settings.app_id:
        text = "AMAZON_APP_ID is not set: sellers can connect with a refresh token only."
        remedy = "Set it to the application's id in Seller Central (amzn1.sp.solution.…)."
        return Finding("consent", text, remedy)
    return Finding("consent", f"The application's redirect URI must be {CALLBACK}.")
