"""The life of a claim over the days: found, reconciled, reimbursed, reversed."""

from datetime import UTC, date, datetime, timedelta

import pytest

from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.generator import truth
from connectors.amazon_sandbox.generator.goods import losses
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import generate

from .bench import UNLIMITED, Bench, error_of
from .test_paid import planted

US = "ATVPDKIKX0DER"


def test_a_claim_is_open_then_reconciled_then_reimbursed() -> None:
    """Amazon's figure falls to 0 days before the row of the payment appears."""
    scenario = losses.lost_then_reconciled_then_paid
    first, second, third = (planted(scenario, days) for days in (5, 12, 17))
    assert [claim.units for claim in first.claims] == [1] and not first.endings
    assert not second.claims and not second.reimbursements
    assert [ending.reason for ending in second.endings] == ["reconciled"]
    assert not third.claims and len(third.reimbursements) == 1
    assert [ending.reason for ending in third.endings] == ["reconciled", "reimbursed"]
    assert third.endings[-1].paid == tuple(third.reimbursements)


def test_a_found_unit_ends_its_claim() -> None:
    before, after = (planted(losses.lost_then_found, days) for days in (2, 6))
    assert before.claims and not before.endings
    assert not after.claims and [ending.reason for ending in after.endings] == ["found"]


def test_a_reversed_payment_opens_the_loss_again_and_ends_the_claim_for_too_little() -> None:
    scenario = losses.paid_too_little_then_reversed
    lost, paid, taken = (planted(scenario, days) for days in (1, 10, 25))
    assert [claim.rule for claim in lost.claims] == ["R1"]
    assert [claim.rule for claim in paid.claims] == ["R10"]
    assert [claim.rule for claim in taken.claims] == ["R1"]
    assert [(ending.rule, ending.reason) for ending in taken.endings] == [("R10", "reversed")]


def test_a_reversed_payment_of_a_balanced_loss_leaves_it_unpaid_and_the_reversal_owed() -> None:
    taken = planted(losses.reversed_without_find, 5)
    assert [claim.rule for claim in taken.claims] == ["R9"]
    reasons = [(ending.rule, ending.reason) for ending in taken.endings]
    assert reasons == [("R1", "reimbursed"), ("R1", "reversed")]


@pytest.mark.parametrize("seed", [1, 4])  # with the newer ledger, and the older
def test_every_claim_that_disappears_has_an_ending(seed: int) -> None:
    """Of the rules on goods; a round that is over takes its expired claims along."""
    rules = ("R1", "R2", "R3", "R11")
    open_claims: dict[tuple[str, str], str] = {}
    ended = set()
    for days in range(0, 60, 3):
        seller = generate(Identity(seed, 1_000), date(2026, 3, 2) + timedelta(days=days), (US,))
        claims = {
            (claim.rule, claim.key): claim.status
            for claim in truth.claims(seller, False)
            if claim.rule in rules
        }
        endings = {(ending.rule, ending.key) for ending in truth.endings(seller)}
        assert not endings & claims.keys()
        gone = {key for key in open_claims.keys() - claims.keys() if open_claims[key] != "expired"}
        assert gone <= endings
        ended |= gone
        open_claims = claims
    assert {rule for rule, _ in ended} >= {"R1", "R2", "R3"}


@pytest.mark.anyio
async def test_the_endpoint_shows_how_claims_have_ended() -> None:
    now = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    bench = Bench(Settings(orders=1_000, quotas=UNLIMITED), now)
    body = (await bench.client.get("/_sandbox/sellers/1?truth=endings")).json()
    reasons = {ending["reason"] for ending in body["endings"]}
    assert reasons == {"found", "reconciled", "reimbursed", "reversed"}
    for ending in body["endings"]:
        paid = ending["reason"] == "reimbursed"
        assert (ending["reimbursementId"] is not None) == (ending["paid"] is not None) == paid
        assert ending["since"] <= "2026-03-02"
    unknown = await bench.client.get("/_sandbox/sellers/1?truth=lives")
    assert "endings" in error_of(unknown)[2]
