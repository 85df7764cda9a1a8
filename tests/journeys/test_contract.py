"""The contract: requests that schemathesis generates from it, and its page in a browser."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from service.api.routes import CALLS
from tests.contract import DOCUMENT
from tests.journeys.browser import shared_chromium
from tests.journeys.process import service
from tests.serving import token

# Without the check that everything that fits a schema is accepted: a schema cannot describe cron
# expressions or cursors, and an invalid one is rejected with 422.
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_schema_conformance", "response_headers_conformance", "unsupported_method"),
    *("negative_data_rejection", "missing_required_header", "ignored_auth"),
    *("use_after_free", "ensure_resource_availability"),
)
#: A stream without an end, which schemathesis would wait for.
ENDLESS = "/api/sse/syncs"


def test_schemathesis_finds_no_error_and_no_undocumented_response(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    bearer = {"Authorization": f"Bearer {token()}"}
    with service(tmp_path, free_port(), DEMO_ORDERS="3") as server:
        with httpx.Client(base_url=server.url, headers=bearer) as ann:
            body = {"connector": "demo", "refreshToken": "good"}
            assert ann.post("/api/connections", json=body).status_code == 201
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
        command += ["--header", f"Authorization: {bearer['Authorization']}"]
        command += ["--checks", ",".join(CHECKS), "--exclude-path", ENDLESS]
        command += ["--max-examples", "6", "--generation-deterministic", "--no-color"]
        command += ["--request-timeout", "20", "--phases", "coverage,fuzzing,stateful"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        selected, whole = re.findall(r"Selected: (\d+)/(\d+)", done.stdout)[0]
        assert int(selected) == int(whole) - 1 > 25, done.stdout
        assert '"level": "error"' not in server.log


def test_the_contract_page_shows_every_call_and_every_schema(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    with (
        service(tmp_path, free_port()) as server,
        shared_chromium() as browser,
    ):
        browser.get(f"{server.url}/docs#Fault")
        WebDriverWait(browser, 60).until(lambda _: browser.find_elements(By.CLASS_NAME, "shape"))
        titles = [call.text for call in browser.find_elements(By.CSS_SELECTOR, ".call summary")]
        assert sorted(title.split("\n")[1] for title in titles) == sorted(
            call.path for call in CALLS
        )
        shapes = browser.find_elements(By.CSS_SELECTOR, ".shape")
        assert {shape.get_attribute("id") for shape in shapes} == set(
            DOCUMENT["components"]["schemas"]
        )
        opened = browser.find_element(By.ID, "Fault")
        assert opened.get_attribute("open") and "retryable" in opened.text
        assert not browser.get_log("browser")  # type: ignore[no-untyped-call]
