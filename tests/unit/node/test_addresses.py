"""IPAM: which addresses pods get."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicplug_sandbox.node.addresses import AddressBook, AddressError, Range, cluster_range, ranges_of


def some(ipam: dict[str, object], count: int = 3) -> list[list[str]]:
    return [
        [str(address) for _, address in zip(range(count), wanted.addresses(), strict=False)]
        for wanted in ranges_of(ipam)
    ]


@pytest.mark.parametrize(
    ("ipam", "addresses"),
    [
        ({"type": "host-local", "subnet": "10.0.0.0/24"}, [["10.0.0.2", "10.0.0.3", "10.0.0.4"]]),
        (
            {"type": "host-local", "subnet": "10.0.0.0/24", "rangeStart": "10.0.0.77", "rangeEnd": "10.0.0.78"},
            [["10.0.0.77", "10.0.0.78"]],
        ),
        (
            {
                "type": "host-local",
                "ranges": [[{"subnet": "10.1.0.0/30"}], [{"subnet": "fd00::/64", "gateway": "fd00::9"}]],
            },
            [["10.1.0.2"], ["fd00::1", "fd00::2", "fd00::3"]],
        ),
        (
            {"type": "whereabouts", "range": "10.0.0.0/29", "exclude": ["10.0.0.0/30"]},
            [["10.0.0.4", "10.0.0.5", "10.0.0.6"]],
        ),
        ({"type": "whereabouts", "range": "10.0.0.5-10.0.0.6/24"}, [["10.0.0.5", "10.0.0.6"]]),
        (
            {"type": "whereabouts", "range": "10.0.0.0/24", "range_start": "10.0.0.9", "gateway": "10.0.0.10"},
            [["10.0.0.9", "10.0.0.11", "10.0.0.12"]],
        ),
        ({"type": "whereabouts", "ipRanges": [{"range": "10.0.0.0/30"}]}, [["10.0.0.1", "10.0.0.2"]]),
        ({"type": "dhcp"}, []),
    ],
)
def test_ranges(ipam: dict[str, object], addresses: list[list[str]]) -> None:
    assert some(ipam) == addresses


@pytest.mark.parametrize(
    "ipam", [{"type": "host-local"}, {"type": "whereabouts", "range": "x"}, {"type": "host-local", "ranges": [[]]}]
)
def test_a_bad_configuration_is_an_address_error(ipam: dict[str, object]) -> None:
    with pytest.raises(AddressError, match="invalid IPAM"):
        ranges_of(ipam)


def small() -> Range:
    return Range(first=ipaddress.ip_address("10.0.0.1"), last=ipaddress.ip_address("10.0.0.3"))


def test_taken_addresses_are_not_given_twice_and_come_back() -> None:
    book = AddressBook()
    taken = [str(book.take(scope="s", wanted=small(), owner=owner)) for owner in "abc"]
    assert taken == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    with pytest.raises(AddressError, match=r"no IP addresses available in range 10\.0\.0\.1-10\.0\.0\.3"):
        book.take(scope="s", wanted=small(), owner="d")
    book.release(owner="b")
    assert str(book.take(scope="s", wanted=small(), owner="d")) == "10.0.0.2"


def test_scopes_do_not_share_addresses_and_release_can_name_one() -> None:
    book = AddressBook()
    first = book.take(scope="one", wanted=small(), owner="a")
    assert book.take(scope="two", wanted=small(), owner="a") == first
    book.release(owner="a", scope="one")
    assert book.take(scope="one", wanted=small(), owner="b") == first
    assert book.take(scope="two", wanted=small(), owner="b") != first


def test_reserved_addresses_are_skipped_and_nonsense_is_ignored() -> None:
    book = AddressBook()
    book.reserve(scope="s", address="10.0.0.1", owner="a")
    book.reserve(scope="s", address="not an address", owner="a")
    assert str(book.take(scope="s", wanted=small(), owner="b")) == "10.0.0.2"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40))
def test_an_address_never_has_two_owners(steps: list[tuple[str, bool]]) -> None:
    book = AddressBook()
    held: dict[str, set[str]] = {}
    for owner, takes in steps:
        if takes:
            try:
                address = str(book.take(scope="s", wanted=small(), owner=owner))
            except AddressError:
                assert sum(len(addresses) for addresses in held.values()) == 3
                continue
            assert all(address not in addresses for addresses in held.values())
            held.setdefault(owner, set()).add(address)
        else:
            book.release(owner=owner)
            held.pop(owner, None)


def test_a_thousand_pods_on_a_node_are_no_quadratic_search() -> None:
    book = AddressBook()
    wanted = cluster_range(1)
    addresses = {book.take(scope="s", wanted=wanted, owner=str(number)) for number in range(5000)}
    assert len(addresses) == 5000
    assert cluster_range(1).first != cluster_range(2).first
