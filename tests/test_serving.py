"""`serve` starts the service for tests, and shows their failures as they are."""

from pathlib import Path

import pytest

from tests.serving import serve

pytestmark = pytest.mark.anyio


async def test_a_failing_assertion_is_not_wrapped_in_exception_groups(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        async with serve(tmp_path) as service:
            async with service.anonymous() as client:
                answer = await client.get("/healthz")
            assert answer.status_code == 500, "the first failure"
    assert str(caught.value).startswith("the first failure")
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_skip_inside_the_service_is_a_skip(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        async with serve(tmp_path):
            pytest.skip("no browser")
