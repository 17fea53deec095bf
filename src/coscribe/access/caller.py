"""Caller: who is asking, whatever the channel and the credential."""

from __future__ import annotations

from math import inf
from typing import Literal, NamedTuple

from coscribe.access.policy import Scope, Standing, lower
from coscribe.core.errors import Code, CoscribeError
from coscribe.documents.ports import Identity
from coscribe.protocol.messages import Role


class Origin(NamedTuple):
    """Where a request came from, for the access events."""

    address: str = ""
    request_id: str = ""


class Caller(NamedTuple):
    """``account``: the user's id, "" where there is none. ``credential_id``: of the session, token or link.

    ``author`` is how edits are signed: the account, or ``account+token`` for a bot. ``role`` is the most that the
    credential allows in any document; ``scope`` None: no API token. ``workspace``: the only document it is for.
    ``expires_at`` is seconds, ``used_at`` (as last written) microseconds since 1970.
    """

    kind: Literal["nobody", "session", "token", "link", "folder"]
    account: str = ""
    credential_id: str = ""
    author: str = ""
    display_name: str = ""
    color: str = "#868e96"
    administrator: bool = False
    role: Role = "owner"
    scope: Scope | None = None
    workspace: str = ""
    expires_at: float = inf
    used_at: int = 0
    origin: Origin = Origin()

    @property
    def signed_in(self) -> bool:
        return self.kind in ("session", "token", "folder")

    @property
    def identity(self) -> Identity:
        """As the engine knows somebody."""
        credential = f"{self.kind}:{self.credential_id}"
        return Identity(
            self.author,
            self.display_name,
            self.color,
            self.role,
            self.account,
            credential,
            self.expires_at,
            self.workspace,
        )

    def standing(self, held: Role | None = None) -> Standing:
        """``held``: the role in the document that it is about, before the credential's bound."""
        account, one_document = bool(self.account), bool(self.workspace)
        role = None if held is None else lower(held, self.role)
        return Standing(self.signed_in, account, self.administrator, self.scope, role, held, one_document)

    def need_account(self) -> str:
        """The account. Errors: ``permission_denied``: a token of the folder's key, or a guest, is nobody's account."""
        if not self.account:
            raise CoscribeError(Code.PERMISSION_DENIED, "this needs an account")
        return self.account


NOBODY = Caller("nobody")
