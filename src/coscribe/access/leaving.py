"""Leaving: what of somebody is taken along, and what is left of them behind."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, case, delete, exists, func, select, union_all, update

from coscribe.access.caller import Caller
from coscribe.access.events import by, record
from coscribe.access.groups import dissolve
from coscribe.access.ids import now
from coscribe.access.project_people import forget_in_projects, workspaces_owned_by
from coscribe.access.retention import is_held
from coscribe.access.sessions import end_sessions
from coscribe.core.errors import Code, CoscribeError
from coscribe.persistence.schema import (
    access_events,
    access_requests,
    api_tokens,
    authors,
    bans,
    external_identities,
    file_operation_log,
    files,
    git_credentials,
    git_identities,
    group_members,
    groups,
    invitations,
    last_cursors,
    link_visitors,
    named_versions,
    one_time_secrets,
    path_rules,
    project_members,
    sessions,
    users,
    visits,
    workspace_members,
    workspaces,
)


class Left(NamedTuple):
    """``orphans``: documents nobody else has, to be purged. ``felt``: documents in which rights have changed."""

    orphans: tuple[str, ...]
    felt: tuple[str, ...]


def exported(connection: Connection, account: str) -> dict[str, Any]:
    def rows(statement: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in connection.execute(statement).mappings()]

    session, token, member, event = sessions.c, api_tokens.c, workspace_members.c, access_events.c
    request, in_project, cursor = access_requests.c, project_members.c, last_cursors.c
    return {
        "account": _profile(connection, account),
        "sessions": rows(
            select(
                session.session_id, session.kind, session.client, session.address, session.created_at, session.used_at
            ).where(session.user_id == account)
        ),
        "tokens": rows(
            select(token.token_id, token.name, token.scope, token.created_at, token.expires_at, token.revoked_at).where(
                token.user_id == account
            )
        ),
        "identities": rows(
            select(external_identities.c.issuer, external_identities.c.subject).where(
                external_identities.c.user_id == account
            )
        ),
        "documents": rows(
            select(workspaces.c.workspace_id, workspaces.c.name, workspaces.c.status, member.role, member.added_at)
            .join(workspace_members, member.workspace_key == workspaces.c.workspace_key)
            .where(member.member_kind == "user", member.member_id == account, workspaces.c.status != "deleted")
        ),
        "projects": rows(
            select(workspaces.c.workspace_id, workspaces.c.name, in_project.role, in_project.added_at)
            .join(project_members, in_project.project_key == workspaces.c.project_key)
            .where(in_project.member_kind == "user", in_project.member_id == account)
        ),
        "accessRequests": rows(
            select(workspaces.c.workspace_id, request.message, request.asked_at)
            .join(access_requests, request.workspace_key == workspaces.c.workspace_key)
            .where(request.user_id == account)
        ),
        "lastCursors": rows(
            select(files.c.file_id, cursor.version, cursor.anchor, cursor.head, cursor.moved_at)
            .join(last_cursors, cursor.file_key == files.c.file_key)
            .join(authors, authors.c.author_ref == cursor.author_ref)
            .where(_signed_by(authors.c.user_id, account))
            .order_by(cursor.moved_at)
        ),
        "gitIdentities": rows(
            select(git_identities.c.name, git_identities.c.email).where(git_identities.c.user_id == account)
        ),
        "gitCredentials": rows(
            select(git_credentials.c.host, git_credentials.c.kind, git_credentials.c.saved_at).where(
                git_credentials.c.user_id == account
            )
        ),
        "groups": rows(
            select(groups.c.group_id, groups.c.name)
            .outerjoin(group_members)
            .where((groups.c.owner_id == account) | (group_members.c.user_id == account))
            .distinct()
        ),
        "events": rows(
            select(event.time, event.action, event.outcome, event.workspace_id, event.subject, event.address)
            .where(event.actor == account)
            .order_by(event.event_id)
        ),
    }


def erase(connection: Connection, caller: Caller) -> Left:
    """Erases the caller; what they wrote stays under a reference that names nobody.

    Errors: ``last_owner``: others have access to documents that nobody else owns; ``conflict``: the only administrator;
    ``legal_hold``: a document that they have, or have had, access to must not be deleted, and must keep their name.
    """
    account = caller.need_account()
    _check_no_name_held(connection, account)
    member = workspace_members.c
    mine = (member.member_kind == "user") & (member.member_id == account)
    owned = union_all(
        select(member.workspace_key).where(mine, member.role == "owner"),
        workspaces_owned_by(account),
    )
    shared = connection.execute(
        select(workspaces.c.name, workspaces.c.workspace_id).where(
            workspaces.c.workspace_key.in_(owned),
            workspaces.c.status != "deleted",
            _others(account, "owner") == 0,
            _others(account) > 0,
        )
    ).all()
    if shared:
        names = ", ".join(row.name or row.workspace_id for row in shared[:5])
        raise CoscribeError(
            Code.LAST_OWNER, f"others have access to {len(shared)} documents that only you own: {names}"
        )
    if is_last_administrator(connection, account):
        raise CoscribeError(Code.CONFLICT, "you are the only administrator; make another one first")
    alone = select(workspaces.c.workspace_key, workspaces.c.workspace_id).where(
        workspaces.c.workspace_key.in_(owned), workspaces.c.status != "deleted", _others(account) == 0
    )
    orphans = connection.execute(alone).all()
    keys = [row.workspace_key for row in orphans]
    connection.execute(update(workspaces).where(workspaces.c.workspace_key.in_(keys)).values(status="deleted", name=""))
    record(connection, by(caller, "account.deleted", subject=account, documents=len(keys)))
    end_sessions(connection, account)
    connection.execute(update(api_tokens).where(api_tokens.c.user_id == account).values(revoked_at=now()))
    connection.execute(delete(workspace_members).where(mine))
    for table, column in (
        (group_members, group_members.c.user_id),
        (link_visitors, link_visitors.c.user_id),
        (visits, visits.c.user_id),
        (bans, bans.c.user_id),
        (external_identities, external_identities.c.user_id),
        (one_time_secrets, one_time_secrets.c.user_id),
        (invitations, invitations.c.user_id),
        (access_requests, access_requests.c.user_id),
        (git_identities, git_identities.c.user_id),
        (git_credentials, git_credentials.c.user_id),
    ):
        connection.execute(delete(table).where(column == account))
    forget_in_projects(connection, "user", account)
    connection.execute(delete(path_rules).where(path_rules.c.member_kind == "user", path_rules.c.member_id == account))
    owned_groups = connection.execute(select(groups.c.group_id).where(groups.c.owner_id == account)).scalars().all()
    felt = [document_id for group_id in owned_groups for document_id in dissolve(connection, group_id)]
    refs = select(authors.c.author_ref).where(_signed_by(authors.c.user_id, account))
    connection.execute(delete(last_cursors).where(last_cursors.c.author_ref.in_(refs)))
    for signed in (authors.c.user_id, named_versions.c.named_by):
        connection.execute(update(signed.table).where(_signed_by(signed, account)).values({signed: None}))
    connection.execute(
        update(users)
        .where(users.c.user_id == account)
        .values(
            handle=f"deleted-{account}"[:64],
            display_name="Deleted account",
            email=None,
            unverified_email=None,
            password_hash=None,
            is_admin=False,
            status="deleted",
            discoverable=False,
        )
    )
    gone = tuple(row.workspace_id for row in orphans)
    return Left(gone, (*gone, *felt))


def _check_no_name_held(connection: Connection, account: str) -> None:
    """Whether no document under legal hold may have been written by somebody: they have, or have had, access to it.
    (Who wrote what is in segments, too, that are not to be unpacked for this.) Errors: ``legal_hold``."""
    event, row = access_events.c, file_operation_log.c
    theirs, by_them = _signed_by(authors.c.user_id, account), _signed_by(event.actor, account)
    member, in_project, done = workspace_members.c, project_members.c, event.outcome == "done"
    concerns = (
        exists().where(member.workspace_key == workspaces.c.workspace_key, member.member_id == account)
        | exists().where(in_project.project_key == workspaces.c.project_key, in_project.member_id == account)
        | exists().where(event.workspace_id == workspaces.c.workspace_id, done, by_them | (event.subject == account))
        | exists().where(
            row.workspace_key == workspaces.c.workspace_key,
            row.author_ref.in_(select(authors.c.author_ref).where(theirs)),
        )
    )
    held = connection.execute(select(workspaces.c.workspace_id).where(is_held(), concerns).limit(1)).scalar()
    if held is not None:
        raise CoscribeError(Code.LEGAL_HOLD, "it must keep the names of who wrote in it", file_id=held)


def _signed_by(column: Column[Any], account: str) -> Any:
    """Whether a column names an account, or a token of it."""
    return (column == account) | column.startswith(f"{account}+", autoescape=True)


def is_last_administrator(connection: Connection, user_id: str) -> bool:
    """Whether nobody would be left who can administer the server."""
    active = select(users.c.user_id).where(users.c.is_admin, users.c.status == "active")
    return list(connection.execute(active.limit(2)).scalars()) == [user_id]


def _profile(connection: Connection, account: str) -> dict[str, Any]:
    row = connection.execute(select(users).where(users.c.user_id == account)).mappings().one()
    return {name: value for name, value in row.items() if name != "password_hash"}


def _others(account: str, role: str | None = None) -> Any:
    """How many other members (with that role) a workspace has."""
    member, in_project = workspace_members.alias().c, project_members.alias().c

    def count(of: Any, this: Any) -> Any:
        statement = select(func.count()).where(this, ~((of.member_kind == "user") & (of.member_id == account)))
        if role is not None:
            active = select(users.c.user_id).where(users.c.status == "active")
            statement = statement.where(of.role == role, of.member_id.in_(active))
        return statement.correlate(workspaces).scalar_subquery()

    of_project = count(in_project, in_project.project_key == workspaces.c.project_key)
    own = count(member, member.workspace_key == workspaces.c.workspace_key)
    return case((workspaces.c.project_key.is_not(None), of_project), else_=own)
