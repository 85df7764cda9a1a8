"""Settings, and the environment of a client."""

from typing import Any

import pytest

from connectors.amazon_sandbox import Settings, connection, environ, read_faults
from connectors.amazon_sandbox.faults import Faults

from .bench import Bench


def test_the_environment_names_the_whole_token_endpoint() -> None:
    values = environ("http://127.0.0.1:9000/")
    assert values["AMAZON_SP_API_URL"] == "http://127.0.0.1:9000"
    assert values["AMAZON_LWA_URL"] == "http://127.0.0.1:9000/auth/o2/token"
    assert all(values.values())


@pytest.mark.anyio
async def test_a_connection_can_log_in() -> None:
    body = connection(seed=4, orders=7)
    assert body["environment"] == "production"
    assert (await Bench().log_in(str(body["refreshToken"]))).status_code == 200


def test_faults_are_read_from_pairs_or_json() -> None:
    assert read_faults("") == Faults()
    pairs = read_faults("fatal_reports=0.2,error500=0.05,inflate=3,largestAnswer=100")
    assert pairs == Faults(fatal_reports=0.2, error500=0.05, inflate=3, largest_answer=100)
    text = '{"missingRoles": ["Finance and Accounting"], "storm": {"every": 5, "length": 2}}'
    assert read_faults(text).missing_roles == ("Finance and Accounting",)
    with pytest.raises(ValueError, match="fatal_reports, cancelled_reports"):
        read_faults("fatal_report=0.2")


@pytest.mark.parametrize("values", [{"speed": 0}, {"marketplaces": ()}, {"marketplaces": ("DE",)}])
def test_invalid_settings_are_rejected(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Settings(**values)
