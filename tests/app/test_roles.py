"""Roles, and the age of a login."""

import pytest

from fetal_hc.errors import ConfigError
from fetal_hc_app.roles import AccessRules, Role, SignIn, is_over, needs_sign_in, role_of, sign_in_of, to_rules
from hc18.reviews import worklist as notes
from hc18.reviews.store import ReviewStore
from tests.app.test_screens import page, register, texts

LISTS = AccessRules(adjudicators=("Lead@clinic.example",), admins=("@it.example",))
CLAIM = AccessRules(role_claim="groups")


@pytest.mark.parametrize(
    ("rules", "claims", "email", "role"),
    [
        (AccessRules(), {}, "ann@clinic.example", Role.ADMIN),
        (LISTS, {}, "ann@clinic.example", Role.READER),
        (LISTS, {}, "lead@clinic.example", Role.ADJUDICATOR),
        (LISTS, {}, "bob@it.example", Role.ADMIN),
        (LISTS, {"groups": ["admin"]}, "ann@clinic.example", Role.READER),
        (CLAIM, {"groups": ["Adjudicator", "other"]}, "ann@clinic.example", Role.ADJUDICATOR),
        (CLAIM, {"groups": "admin"}, "ann@clinic.example", Role.ADMIN),
        (CLAIM, {}, "ann@clinic.example", Role.READER),
    ],
)
def test_role(rules: AccessRules, claims: dict[str, object], email: str, role: Role) -> None:
    assert role_of(claims, email, rules) is role


@pytest.mark.parametrize(
    ("age_s", "is_confirmed", "has_confirm", "is_needed"),
    [
        (30.0, True, True, False),
        (30.0, False, True, True),
        (30.0, False, False, False),
        (301.0, True, True, True),
        (301.0, False, False, True),
    ],
)
def test_signature_needs_a_fresh_login(*, age_s: float, is_confirmed: bool, has_confirm: bool, is_needed: bool) -> None:
    rules, sign_in = AccessRules(sign_in_minutes=5), SignIn("key", 1000.0, is_confirmed)
    assert needs_sign_in(rules, sign_in, 1000.0 + age_s, has_confirm=has_confirm) is is_needed
    assert not needs_sign_in(AccessRules(), sign_in, 1e9, has_confirm=has_confirm)
    assert not needs_sign_in(rules, None, 1e9, has_confirm=has_confirm)


def test_session_is_over_when_it_was_not_used() -> None:
    rules, sign_in = AccessRules(idle_minutes=1), SignIn("key", 1000.0, is_confirmed=True)
    assert not is_over(rules, sign_in, 5000.0, 5059.0)
    assert is_over(rules, sign_in, 5000.0, 5061.0)
    assert is_over(rules, sign_in, None, 5000.0)  # the server was started again, and nobody knows the session
    assert not is_over(AccessRules(), sign_in, None, 1e9)


def test_login_is_as_old_as_its_proof() -> None:
    first = sign_in_of({"iss": "i", "sub": "s", "iat": 2000, "auth_time": 1500, "provider": "confirm"})
    assert (first.at, first.is_confirmed) == (1500.0, True)
    again = sign_in_of({"iss": "i", "sub": "s", "iat": 3000})
    assert (again.at, again.is_confirmed) == (3000.0, False)
    assert first.key != again.key


def test_rules_are_read() -> None:
    section = {"allow": ["a@b.example"], "admins": ["c@b.example"], "sign_in_minutes": 5, "idle_minutes": 0.5}
    assert to_rules(section) == AccessRules(("a@b.example",), (), ("c@b.example",), "", 5.0, 0.5)
    assert to_rules(None) == AccessRules()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"allow": "a@b.example"}, "allow is 'a@b.example'; expected a list"),
        ({"idle_minutes": "15"}, "idle_minutes is '15'; expected a number"),
        ({"sign_in_minutes": -1}, "sign_in_minutes is -1; expected a number"),
    ],
)
def test_wrong_rule_is_named(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_rules(section)


@pytest.mark.slow
def test_page_of_an_adjudicator_who_became_a_reader_shares_nothing_out(store: ReviewStore) -> None:
    case_id = register(store)
    with store.writer() as connection:
        notes.assign(connection, [case_id], ["Dr. Given"])
    test = page("queue").run()
    test.segmented_control(key="queue_action").set_value("Give to readers").run()
    test.session_state["role"] = Role.READER
    test.button(key="assign-many").click().run()
    assert "Only adjudicators share out cases and readings" in texts(test)
    with store.reader() as connection:
        assert notes.people(connection) == ["Dr. Given"]
