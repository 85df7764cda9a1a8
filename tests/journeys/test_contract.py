"""The contract, tried by a program that knows nothing else of the service, and read by people."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from service.api.routes import CALLS
from tests.contract import DOCUMENT
from tests.journeys.browser import chromium
from tests.journeys.process import service
from tests.serving import token

# Not among them: that whatever fits a schema is accepted. What a cron expression or a cursor means,
# no schema can tell; such a request is refused with 422.
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_schema_conformance", "response_headers_conformance", "unsupported_method"),
    *("negative_data_rejection", "missing_required_header", "ignored_auth"),
    *("use_after_free", "ensure_resource_availability"),
)
ENDLESS = "/api/sse/syncs"
"""A stream that has no end cannot be waited for."""


@pytest.mark.timeout(180)
def test_schemathesis_finds_no_fault_and_no_answer_that_is_not_told(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    bearer = {"Authorization": f"Bearer {token()}"}
    with service(tmp_path, free_port(), DEMO_ORDERS="3") as here:
        with httpx.Client(base_url=here.url, headers=bearer) as ann:
            body = {"connector": "demo", "refreshToken": "good"}
            assert ann.post("/api/connections", json=body).status_code == 201
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{here.url}/openapi.json"]
        command += ["--header", f"Authorization: {bearer['Authorization']}"]
        command += ["--checks", ",".join(CHECKS), "--exclude-path", ENDLESS]
        command += ["--max-examples", "6", "--generation-deterministic", "--no-color"]
        command += ["--request-timeout", "20", "--phases", "coverage,fuzzing,stateful"]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout + found.stderr
        selected, whole = re.findall(r"Selected: (\d+)/(\d+)", found.stdout)[0]
        assert int(selected) == int(whole) - 1 > 25, found.stdout
        assert '"level": "error"' not in here.log


def test_the_page_of_the_contract_tells_every_call_and_every_shape(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    with (
        service(tmp_path, free_port()) as here,
        chromium(tmp_path / "profile") as browser,
    ):
        browser.get(f"{here.url}/docs#Fault")
        WebDriverWait(browser, 20).until(lambda _: browser.find_elements(By.CLASS_NAME, "shape"))
        shown = [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".call summary")]
        assert sorted(each.split("\n")[1] for each in shown) == sorted(call.path for call in CALLS)
        shapes = browser.find_elements(By.CSS_SELECTOR, ".shape")
        assert {each.get_attribute("id") for each in shapes} == set(
            DOCUMENT["components"]["schemas"]
        )
        opened = browser.find_element(By.ID, "Fault")
        assert opened.get_attribute("open") and "retryable" in opened.text
        assert not browser.get_log("browser")  # type: ignore[no-untyped-call]
