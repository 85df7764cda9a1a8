"""The ids of users: one for each pair of tenant and `sub`."""

from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from service.users import Actor, sub_of, user_id

texts = st.text(min_size=1, max_size=8)
alike = st.text(st.sampled_from("a/%2F25"), min_size=1, max_size=8)
"""Names that look like parts of an id, or like escaped text."""
pairs = st.tuples(texts | alike, texts | alike)


@given(pairs, pairs)
def test_two_pairs_of_tenant_and_sub_never_share_an_id(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (user_id(*one) == user_id(*other)) == (one == other)


@given(pairs)
def test_the_tenant_and_the_sub_can_be_read_from_an_id(pair: tuple[str, str]) -> None:
    tenant, sub = pair
    actor = Actor(sub, tenant)
    assert (unquote(actor.user.partition("/")[0]), sub_of(actor.user)) == pair
    assert not actor.user.startswith("/"), "the migration uses such ids for rows without an owner"
