"""Projects: make them, from nothing or from an archive, find them, and say whose they are.

A project has the id of its workspace. It is renamed, archived, put into the trash and deleted as documents are.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from coscribe.access.policy import Action, PathRule
from coscribe.access.project_people import Source
from coscribe.access.projects import Project
from coscribe.access.quotas import QuotaOf
from coscribe.api.documents import AKey, Cursor, Document, Limit
from coscribe.api.members import AMemberId, MemberList, MemberRow, NewRole, RuleList, RulesIn, member_row, shown_rules
from coscribe.api.models import NO_NUL, WHOLE, DocumentName, Incoming, Outgoing
from coscribe.api.route import ACaller, ANeededIfMatch, AServices, PolicyRoute, action, etag, expected_revision
from coscribe.api.workspaces import WorkspaceId
from coscribe.git.remotes import MAX_URL, Secret

router = APIRouter(route_class=PolicyRoute, tags=["projects"])

ONE = "/api/projects/{workspaceId}"


class NewProject(Incoming):
    name: DocumentName
    folds_case: bool = Field(False, description="whether names that differ in case are the same")
    address: str = Field(
        "",
        max_length=MAX_URL,
        description="of a git repository to begin with: https://host/path, ssh://user@host/path, user@host:path; empty:"
        " nothing",
    )
    token: str = Field(
        "", max_length=512, pattern="^[!-~]*$", description="for a repository not open to everybody; it is not stored"
    )
    key: str = Field(
        "",
        max_length=20_000,
        pattern=NO_NUL,
        description="by ssh: a private key without a passphrase. It is stored, sealed, as one's credential for the"
        " host, unless the request comes with an API token; left out: the one that is stored",
    )
    known_hosts: str = Field("", max_length=20_000, pattern=NO_NUL, description="the lines of the host's own keys")
    host_fingerprint: str = Field(
        "",
        max_length=100,
        pattern="^[!-~]*$",
        description="in place of them: SHA256:... Without either the refusal says which keys the host says it has",
    )


class ImportShown(Outgoing):
    """Until it is `ready` nobody sees any of the files; what has `failed` stays so."""

    state: Literal["pending", "running", "failed", "ready"]
    done: int = Field(description="files and folders that are made")
    total: int | None = Field(description="how many there are, once that is known")
    code: str = Field(description="of the error that ended it; empty: none did")
    detail: str = Field(description="what the error is about: which entry, and why")


class ProjectShown(Outgoing):
    workspace: Document
    source: Literal["blank", "upload", "repository"]
    address: str = Field(description="of a repository")
    imported: ImportShown


class NewQuota(Incoming):
    """What is left out stays as it is."""

    bytes: Annotated[int, Field(ge=0, le=2**53 - 1), WHOLE] | None = Field(
        None, description="none: no bound of its own"
    )
    files: Annotated[int, Field(ge=0, le=100_000), WHOLE] | None = Field(
        None, description="files and folders that are not in the trash"
    )


class QuotaShown(Outgoing):
    """What the project grants, or less, where its workspace says so."""

    bytes: int | None = Field(description="of texts, and of contents that are no text, old ones too; none: no bound")
    files: int | None
    used_bytes: int = Field(description="about")
    used_files: int


class ProjectList(Outgoing):
    items: list[ProjectShown]
    next_cursor: str = Field(description="empty: nothing follows")


@router.post("/api/projects", status_code=201, openapi_extra=action(Action.CREATE_DOCUMENT, once="answer"))
async def create_project(
    body: NewProject, caller: ACaller, services: AServices, response: Response, idempotency_key: AKey = None
) -> ProjectShown:
    """A project with an empty workspace, which one owns, or with what the newest commit of a repository holds: that is
    fetched and made in the background, see `imported`."""
    source = Source("repository", body.address) if body.address else Source("blank")
    secret = Secret()
    if body.address:
        given = Secret(token=body.token, key=body.key, known_hosts=body.known_hosts)
        secret = await services.git.known(caller, body.address, given, body.host_fingerprint)
    made = await services.projects.create(
        caller, body.name.strip(), source, idempotency_key, folds_case=body.folds_case
    )
    if body.address:
        await services.imports.begin(made.workspace.document_id, secret)
    return _made(response, made)


@router.post(
    "/api/projects/import",
    status_code=201,
    openapi_extra=action(Action.CREATE_DOCUMENT)
    | {"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def import_project(
    request: Request,
    caller: ACaller,
    services: AServices,
    response: Response,
    name: Annotated[DocumentName, Query()],
    folds_case: Annotated[bool, Query(alias="foldsCase")] = False,
) -> ProjectShown:
    """A project from an archive: zip, tar or tar.gz. What is in it is looked at and made in the background: `imported`
    of the project tells how far that is, and what was refused."""
    project_id = services.documents.ids.fresh("wsp")
    await services.imports.receive(project_id, request.stream())
    try:
        source = Source("upload")
        made = await services.projects.create(
            caller, name.strip(), source, project_id=project_id, folds_case=folds_case
        )
    except BaseException:
        services.imports.drop(project_id)
        raise
    await services.imports.begin(project_id)
    return _made(response, made)


@router.get("/api/projects", openapi_extra=action(Action.LIST_DOCUMENTS))
async def list_projects(
    caller: ACaller,
    services: AServices,
    status: Annotated[Literal["active", "archived", "trashed"], Query()] = "active",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> ProjectList:
    """One's projects, the newest first."""
    page = await services.projects.list(caller, status, cursor, limit)
    return ProjectList(items=[_shown(project) for project in page.items], next_cursor=page.next_cursor)


@router.get(ONE, openapi_extra=action(Action.SEE_DOCUMENT))
async def see_project(
    workspace_id: WorkspaceId, caller: ACaller, services: AServices, response: Response
) -> ProjectShown:
    """What it is made from, and how far that is."""
    found = await services.projects.get(caller, workspace_id)
    response.headers["ETag"] = etag(found.workspace.revision)
    return _shown(found)


@router.get(f"{ONE}/members", openapi_extra=action(Action.SEE_MEMBERS))
async def list_project_members(
    workspace_id: WorkspaceId, caller: ACaller, services: AServices, cursor: Cursor = "", limit: Limit = 50
) -> MemberList:
    """Who has a role in the project. In its workspace they have at most that."""
    page = await services.projects.members(caller, workspace_id, cursor=cursor, limit=limit)
    return MemberList(items=[member_row(member) for member in page.items], next_cursor=page.next_cursor)


@router.put(f"{ONE}/members/{{memberId}}", openapi_extra=action(Action.MANAGE_MEMBERS))
async def set_project_role(
    workspace_id: WorkspaceId, member_id: AMemberId, body: NewRole, caller: ACaller, services: AServices
) -> MemberRow:
    """Changes the role of a member, or adds a group of one's own. People are invited to the workspace, and are members
    of the project then."""
    return member_row(await services.projects.set_role(caller, workspace_id, member_id, body.role))


@router.delete(f"{ONE}/members/{{memberId}}", status_code=204, openapi_extra=action(Action.MANAGE_MEMBERS))
async def remove_project_member(
    workspace_id: WorkspaceId, member_id: AMemberId, caller: ACaller, services: AServices
) -> None:
    """Takes a role away, from open sockets too."""
    await services.projects.remove(caller, workspace_id, member_id)


@router.get(f"{ONE}/rules", openapi_extra=action(Action.MANAGE_MEMBERS))
async def list_project_rules(
    workspace_id: WorkspaceId, caller: ACaller, services: AServices, response: Response
) -> RuleList:
    """The path rules of the project. Those of its workspace narrow what they say."""
    return shown_rules(response, await services.projects.rules(caller, workspace_id))


@router.put(f"{ONE}/rules", openapi_extra=action(Action.MANAGE_MEMBERS))
async def replace_project_rules(
    workspace_id: WorkspaceId,
    body: RulesIn,
    caller: ACaller,
    services: AServices,
    response: Response,
    if_match: ANeededIfMatch = None,
) -> RuleList:
    """The whole list anew; needs If-Match."""
    revision = expected_revision(if_match)
    rules = [PathRule(rule.member_kind, rule.member_id, rule.pattern, rule.access) for rule in body.rules]
    return shown_rules(response, await services.projects.replace_rules(caller, workspace_id, rules, revision))


@router.get(f"{ONE}/quota", openapi_extra=action(Action.SEE_DOCUMENT))
async def see_quota(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> QuotaShown:
    """How much the project may have, and has."""
    return _quota(await services.quotas.of(caller, workspace_id))


@router.patch(f"{ONE}/quota", openapi_extra=action(Action.GRANT_QUOTAS))
async def grant_quota(workspace_id: WorkspaceId, body: NewQuota, caller: ACaller, services: AServices) -> QuotaShown:
    """How much the project may have from now on. What is there already stays, and may shrink."""
    return _quota(await services.quotas.set_of_project(caller, workspace_id, body.model_dump(exclude_unset=True)))


@router.patch("/api/workspace/{workspaceId}/quota", openapi_extra=action(Action.MANAGE_DOCUMENT))
async def narrow_quota(workspace_id: WorkspaceId, body: NewQuota, caller: ACaller, services: AServices) -> QuotaShown:
    """How much of that its workspace takes at most. More than the project grants is as much as it grants."""
    return _quota(await services.quotas.set_of_workspace(caller, workspace_id, body.model_dump(exclude_unset=True)))


def _quota(found: QuotaOf) -> QuotaShown:
    used = {"used_bytes": found.used_bytes, "used_files": found.used_files}
    return QuotaShown(bytes=found.bounds.bytes, files=found.bounds.files, **used)


def _made(response: Response, project: Project) -> ProjectShown:
    response.headers["Location"] = f"/api/projects/{project.workspace.document_id}"
    response.headers["ETag"] = etag(project.workspace.revision)
    return _shown(project)


def _shown(project: Project) -> ProjectShown:
    return ProjectShown(
        workspace=Document.model_validate(project.workspace),
        source=project.source.kind,
        address=project.source.address,
        imported=ImportShown.model_validate(project.imported),
    )
