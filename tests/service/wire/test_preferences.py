"""The header Prefer: which values are a wait, and for how long."""

import pytest

from service.wire.preferences import read_wait


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (["wait=30"], 30),
        (["wait=0"], 0),
        (["wait=007"], 7),
        (["wait=60"], 60),
        (["wait=61"], 60),
        (["wait=" + "9" * 10_000], 60),
        (["wait=" + "0" * 10_000 + "5"], 5),
        (["WAIT=30"], 30),
        (["Wait = 30"], 30),
        (["\twait\t=\t30 "], 30),
        (['wait="30"'], 30),
        (["wait=30; strict"], 30),
        (['wait=30;foo="a, wait=5"'], 30),
        (["respond-async, wait=10"], 10),
        (["respond-async,,wait=10,"], 10),
        (["respond-async", "handling=lenient, wait=10"], 10),
        (['foo="bar, wait=5; \\", wait=6", wait=10'], 10),
        (["wait=10, wait=20"], 10),
        (["wait=10", "wait=20"], 10),
        (['foo="not closed, wait=5', "wait=10"], 10),
    ],
)
def test_a_wait_is_read_in_every_form_that_the_rfc_allows(prefer: list[str], seconds: int) -> None:
    assert read_wait(prefer) == seconds


@pytest.mark.parametrize(
    "prefer",
    [
        *("", " ", ",", ";", "=", '"', "\\", "wait", "wait=", 'wait=""', "wait= ", "wait=abc"),
        *(
            "wait=-1",
            "wait=+1",
            "wait=1.5",
            "wait=1e1",
            "wait=0x10",
            "wait=1 2",
            'wait="1',
            "wait=1_0",
        ),
        *("wait=²", "wait=٣", "wait='5'", "waits=5", "x-wait=5", '"wait"=5', "wait:5", "wait==5"),
        *("foo;wait=5", "foo=wait=5", 'foo="wait=5"', "respond-async", "wait=abc, wait=5"),
    ],
)
def test_what_is_not_a_wait_is_ignored(prefer: str) -> None:
    assert read_wait([prefer]) is None


def test_without_the_header_there_is_no_wait() -> None:
    assert read_wait([]) is None
