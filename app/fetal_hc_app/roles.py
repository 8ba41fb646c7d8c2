"""What a person may do, and when they last proved who they are: the rules of [access] in secrets.toml."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from fetal_hc.errors import ConfigError

CONFIRM = "confirm"  # [auth.confirm]: the login that asks for the password again


class Role(IntEnum):
    """Each role may do what those before it may."""

    READER = 1  # measures, decides, signs, reads a second time
    ADJUDICATOR = 2  # settles disagreements, reopens what others signed, gives cases to readers, asks for readings
    ADMIN = 3  # opens folders of the server, measures and sends again


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Who may use the app, and as what.

    Attributes:
        allow: addresses, or domains such as `@hospital.example`.
        adjudicators: those of them who are adjudicators.
        admins: those of them who are admins.
        role_claim: claim of the identity token with the names of roles; empty for none.
        sign_in_minutes: a signature needs a login that is not older; 0 asks for none.
        idle_minutes: a session that is not used for so long ends; 0 never.
    """

    allow: tuple[str, ...] = ()
    adjudicators: tuple[str, ...] = ()
    admins: tuple[str, ...] = ()
    role_claim: str = ""
    sign_in_minutes: float = 0.0
    idle_minutes: float = 0.0

    @property
    def has_roles(self) -> bool:
        """Whether the site tells people apart; otherwise everybody may do everything."""
        return bool(self.adjudicators or self.admins or self.role_claim)


@dataclass(frozen=True, slots=True)
class SignIn:
    """A login.

    Attributes:
        key: of this login of this person.
        at: when they proved who they are, seconds since 1970; 0 if the token does not say.
        is_confirmed: whether it was made to sign.
    """

    key: str
    at: float
    is_confirmed: bool


def to_rules(section: object) -> AccessRules:
    """The rules of the table [access]; nobody is admitted without one.

    Raises:
        ConfigError: if an entry is not what it should be.
    """
    values = section if isinstance(section, Mapping) else {}
    return AccessRules(
        allow=_texts(values, "allow"),
        adjudicators=_texts(values, "adjudicators"),
        admins=_texts(values, "admins"),
        role_claim=str(values.get("role_claim") or ""),
        sign_in_minutes=_minutes(values, "sign_in_minutes"),
        idle_minutes=_minutes(values, "idle_minutes"),
    )


def is_listed(email: str, entries: Sequence[str]) -> bool:
    """Whether an address, or its whole domain, is on a list."""
    known = {entry.strip().lower() for entry in entries}
    return email in known or f"@{email.rpartition('@')[2]}" in known


def role_of(user: Mapping[str, Any], email: str, rules: AccessRules) -> Role:
    """The highest role of a person: by the lists, or by the claim of the login.

    Args:
        user: claims of the identity token.
        email: of the person, in lower case.
        rules: of the site.
    """
    if not rules.has_roles:
        return Role.ADMIN
    claimed = user.get(rules.role_claim) if rules.role_claim else None
    names = {str(name).lower() for name in ([claimed] if isinstance(claimed, str) else claimed or ())}
    found = [role for role in Role if role.name.lower() in names]
    if is_listed(email, rules.adjudicators):
        found.append(Role.ADJUDICATOR)
    if is_listed(email, rules.admins):
        found.append(Role.ADMIN)
    return max(found, default=Role.READER)


def sign_in_of(user: Mapping[str, Any]) -> SignIn:
    """The login that an identity token speaks of."""
    issued, proved = _seconds(user.get("iat")), _seconds(user.get("auth_time"))
    text = f"{user.get('iss')}|{user.get('sub')}|{user.get('email')}|{issued}"
    return SignIn(hashlib.sha256(text.encode()).hexdigest(), proved or issued, user.get("provider") == CONFIRM)


def needs_sign_in(rules: AccessRules, sign_in: SignIn | None, now: float, *, has_confirm: bool) -> bool:
    """Whether a person must log in again before they sign.

    Args:
        rules: of the site.
        sign_in: their login; None without one, where nobody is asked.
        now: seconds since 1970.
        has_confirm: whether the site has a login that asks for the password; another one then does not count.
    """
    if sign_in is None or rules.sign_in_minutes <= 0.0:
        return False
    return now - sign_in.at > 60.0 * rules.sign_in_minutes or (has_confirm and not sign_in.is_confirmed)


def is_over(rules: AccessRules, sign_in: SignIn, last_used: float | None, now: float) -> bool:
    """Whether a session was not used for too long; one that nobody remembers is as old as its login."""
    used = sign_in.at if last_used is None else last_used
    return rules.idle_minutes > 0.0 and now - used > 60.0 * rules.idle_minutes


def _texts(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = values.get(name, [])
    if not isinstance(found, list):
        raise ConfigError(f"secrets.toml, [access]: {name} is {found!r}; expected a list of addresses")
    return tuple(map(str, found))


def _minutes(values: Mapping[str, Any], name: str) -> float:
    found = values.get(name, 0)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0.0 <= found < 1e6:
        raise ConfigError(f"secrets.toml, [access]: {name} is {found!r}; expected a number of minutes")
    return float(found)


def _seconds(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
