"""Who may use the app: on the own machine everybody, on a network only people who log in and are on the list."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from fetal_hc_app import wording
from fetal_hc_app.texts import text

_NAME_KEY = "reviewer_name"


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
    if not st.user.to_dict().get("is_logged_in"):
        st.subheader(text("Please log in"))
        st.write(text("This reviewer is open to the people on its list."))
        st.button(text("Log in"), type="primary", on_click=st.login)
        st.stop()
    admission = admit(st.user.to_dict(), _allow_list(secrets))
    if admission.refusal:
        st.error(wording.plain(admission.refusal), icon=":material/block:")
        st.button(text("Log out"), on_click=st.logout)
        st.stop()
    st.session_state["login"] = admission.reviewer


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
    entries = {entry.strip().lower() for entry in allowed}
    if email in entries or f"@{email.rpartition('@')[2]}" in entries:
        return Admission("", email)
    return Admission(f"{email} is not on the list of this reviewer. Ask its operator.")


def reviewer() -> str:
    """Who decides in this session: from the login, else as typed; empty if nobody has said."""
    return str(st.session_state.get("login") or st.session_state.get(_NAME_KEY) or "").strip()


def reviewer_panel() -> None:
    """Name of the reviewer: shown after a login, typed without one."""
    login = st.session_state.get("login")
    if login:
        st.button(text("Log out {name}", name=wording.plain(str(login))), on_click=st.logout, icon=":material/logout:")
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


def _allow_list(secrets: Mapping[str, Any]) -> list[str]:
    access = secrets.get("access")
    allowed = access.get("allow") if isinstance(access, Mapping) else None
    return [str(entry) for entry in allowed] if isinstance(allowed, list) else []
