"""Where the app may run and who may use it."""

import pytest

from fetal_hc_app.access import admit, binding_refusal

ALLOWED = ["Ann@hospital.example", "@clinic.example"]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.53", "localhost", "::1", "[::1]"])
def test_own_machine_needs_no_login(address: str) -> None:
    assert binding_refusal(address, has_login=False) == ""


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "192.168.1.7", "reviewer.example"])
def test_network_without_login_is_refused(address: str | None) -> None:
    assert "no login is configured" in binding_refusal(address, has_login=False)


def test_network_with_login_is_allowed() -> None:
    assert binding_refusal("0.0.0.0", has_login=True) == ""


@pytest.mark.parametrize("email", ["ann@hospital.example", "ANN@hospital.example ", "bob@clinic.example"])
def test_listed_people_are_admitted_by_address_or_domain(email: str) -> None:
    admission = admit({"email": email, "email_verified": True}, ALLOWED)
    assert (admission.refusal, admission.reviewer) == ("", email.strip().lower())


@pytest.mark.parametrize(
    "email", ["eve@hospital.example", "ann@evil.example", "x@sub.clinic.example", "@clinic.example.org"]
)
def test_others_are_refused(email: str) -> None:
    assert "not on the list" in admit({"email": email}, ALLOWED).refusal


def test_unverified_or_missing_address_is_refused() -> None:
    assert "no verified e-mail" in admit({"email": "ann@hospital.example", "email_verified": False}, ALLOWED).refusal
    assert "no verified e-mail" in admit({}, ALLOWED).refusal


def test_login_without_a_list_admits_nobody() -> None:
    assert "nobody is on the list" in admit({"email": "ann@hospital.example"}, []).refusal
