"""Who may use the app: on the own machine everybody, on a network only people who log in and are on the list."""

from __future__ import annotations

import ipaddress
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from fetal_hc_app import roles, wording
from fetal_hc_app.roles import CONFIRM, AccessRules, Role, SignIn
from fetal_hc_app.texts import text
from hc18.reviews.models import CaseId

_NAME_KEY, _LOGIN_KEY, _ROLE_KEY, _SIGN_IN_KEY = "reviewer_name", "login", "role", "sign_in"
_RULES_KEY = "access_rules"
_ROLE_NAMES = {Role.READER: "reader", Role.ADJUDICATOR: "adjudicator", Role.ADMIN: "admin"}


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether somebody may go on.

    Attributes:
        refusal: why not, as a sentence; empty if they may.
        reviewer: who they are according to the login; empty without one.
    """

    refusal: str
    reviewer: str = ""


def end_if_open_to_the_network() -> None:
    """Ends the program with code 2 before the server answers anybody, if it must not run at its address.

    `fetal-hc app` refuses before it starts Streamlit. A bare `streamlit run` listens before it calls any code of an
    app; visitors of that moment are not answered. An exception would only make Streamlit print a traceback.
    """
    refusal = binding_refusal(st.get_option("server.address"), has_login())
    if refusal:
        sys.stderr.write(f"error: {refusal}\n")
        sys.stderr.flush()
        os._exit(2)


def has_login() -> bool:
    """Whether a login is configured."""
    return "auth" in _read_secrets()


def require_access() -> None:
    """Returns if this session may use the app; otherwise shows why not, or the login, and ends the run."""
    secrets = _read_secrets()
    is_configured = "auth" in secrets
    refusal = binding_refusal(st.get_option("server.address"), is_configured)
    if refusal:
        st.error(wording.plain(refusal), icon=":material/block:")
        st.stop()
    if not is_configured:
        return
    rules = st.session_state[_RULES_KEY] = roles.to_rules(secrets.get("access"))
    user = st.user.to_dict()
    if not user.get("is_logged_in"):
        _ask_to_log_in(text("Please log in"), text("This reviewer is open to the people on its list."), st.login)
    admission = admit(user, rules.allow)
    if admission.refusal:
        st.error(wording.plain(admission.refusal), icon=":material/block:")
        st.button(text("Log out"), on_click=st.logout)
        st.stop()
    sign_in = roles.sign_in_of(user)
    if roles.is_over(rules, sign_in, _last_used().get(sign_in.key), time.time()):
        words = text("It was not used for {minutes:g} minutes. Nothing was lost.", minutes=rules.idle_minutes)
        _ask_to_log_in(text("The session has ended"), words, _log_in_again)
    _last_used()[sign_in.key] = time.time()
    st.session_state[_LOGIN_KEY] = admission.reviewer
    st.session_state[_ROLE_KEY] = roles.role_of(user, admission.reviewer, rules)
    st.session_state[_SIGN_IN_KEY] = sign_in


def keep_alive() -> None:
    """Notes that this session is used; called where a part of a page runs alone. Ends the run if it is over."""
    sign_in = st.session_state.get(_SIGN_IN_KEY)
    if isinstance(sign_in, SignIn):
        if is_session_over():
            st.rerun()
        _last_used()[sign_in.key] = time.time()


def is_session_over() -> bool:
    """Whether this session was not used for longer than the site allows."""
    sign_in = st.session_state.get(_SIGN_IN_KEY)
    if not isinstance(sign_in, SignIn):
        return False
    return roles.is_over(_rules(), sign_in, _last_used().get(sign_in.key), time.time())


def has_logged_in() -> bool:
    """Whether this session has a login."""
    return bool(st.session_state.get(_LOGIN_KEY))


def ends_by_itself() -> bool:
    """Whether sessions end when they are not used."""
    return _rules().idle_minutes > 0.0


def may(role: Role) -> bool:
    """Whether this session has a role, or a higher one; without a login everybody has all."""
    return bool(st.session_state.get(_ROLE_KEY, Role.ADMIN) >= role)


def needs_sign_in() -> bool:
    """Whether this person must log in again before they sign."""
    sign_in, known = st.session_state.get(_SIGN_IN_KEY), None
    if isinstance(sign_in, SignIn):
        known = sign_in
    return roles.needs_sign_in(_rules(), known, time.time(), has_confirm=_has_confirm())


def sign_in_again(case_id: CaseId) -> None:
    """Sends the browser to the login, and back to a case."""
    _cases_to_sign()[reviewer()] = case_id
    _log_in_again()


def take_case_to_sign() -> CaseId | None:
    """The case for which this person has just logged in again; None without, and asked once."""
    return _cases_to_sign().pop(reviewer(), None) if reviewer() and not needs_sign_in() else None


def _ask_to_log_in(title: str, words: str, log_in: Callable[[], None]) -> None:
    """A button to the login, and the end of the run."""
    for key in (_LOGIN_KEY, _ROLE_KEY, _SIGN_IN_KEY):
        st.session_state.pop(key, None)
    st.subheader(title)
    st.write(words)
    st.button(text("Log in"), type="primary", on_click=log_in)
    st.stop()


def _log_in_again() -> None:
    st.login(CONFIRM) if _has_confirm() else st.login()


def _has_confirm() -> bool:
    """Whether the site has a login that asks for the password even if somebody is logged in."""
    return CONFIRM in _read_secrets().get("auth", {})


def _rules() -> AccessRules:
    """The rules of this session; without a login there are none."""
    found = st.session_state.get(_RULES_KEY)
    return found if isinstance(found, AccessRules) else AccessRules()


@st.cache_resource(show_spinner=False)
def _last_used() -> dict[str, float]:
    """When each login was last used, seconds since 1970."""
    return {}


@st.cache_resource(show_spinner=False)
def _cases_to_sign() -> dict[str, CaseId]:
    """The case that each person was about to sign when they were sent to the login."""
    return {}


def binding_refusal(address: str | None, has_login: bool) -> str:
    """Why the app must not run at a server address; empty if it may.

    Args:
        address: `server.address`; None or empty listens on every network.
        has_login: whether OIDC is configured.
    """
    if has_login or _is_loopback(address or ""):
        return ""
    where = f"at the address {address}" if address else "on every network of this computer"
    return (
        f"The server listens {where}, but no login is configured, so anybody could read and change the reviews. "
        "Start it with --server.address 127.0.0.1, or configure a login (docs/reviewer.md)."
    )


def admit(user: Mapping[str, Any], allowed: Sequence[str]) -> Admission:
    """Whether somebody who has logged in is on the list.

    Args:
        user: claims of the identity token.
        allowed: e-mail addresses, or domains such as `@hospital.example`.
    """
    if not allowed:
        return Admission("A login is configured but nobody is on the list; add 'allow' to [access] in secrets.toml.")
    email = str(user.get("email") or "").strip().lower()
    if not email or user.get("email_verified") is False:
        return Admission("The login gave no verified e-mail address, so it cannot be compared with the list.")
    if roles.is_listed(email, allowed):
        return Admission("", email)
    return Admission(f"{email} is not on the list of this reviewer. Ask its operator.")


def reviewer() -> str:
    """Who decides in this session: from the login, else as typed; empty if nobody has said, or the session is over."""
    if is_session_over():
        return ""
    return str(st.session_state.get(_LOGIN_KEY) or st.session_state.get(_NAME_KEY) or "").strip()


def reviewer_panel() -> None:
    """Name of the reviewer: shown after a login, typed without one."""
    login = st.session_state.get(_LOGIN_KEY)
    if login:
        name = wording.plain(str(login))
        if _rules().has_roles:
            name = f"{name} ({text(_ROLE_NAMES[st.session_state[_ROLE_KEY]])})"
        st.button(text("Log out {name}", name=name), on_click=st.logout, icon=":material/logout:")
        return
    st.text_input(
        text("Your name"),
        key=_NAME_KEY,
        persist_state="session",
        max_chars=100,
        placeholder=text("Your name (for the record)"),
        label_visibility="collapsed",
        icon=":material/person:",
    )


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def _read_secrets() -> Mapping[str, Any]:
    """The secrets; empty when there is no file."""
    try:
        return st.secrets.to_dict()
    except StreamlitSecretNotFoundError:
        return {}
