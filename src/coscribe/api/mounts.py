"""Workspaces as files on the server's disk."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from coscribe.access.mounts import Mount
from coscribe.access.policy import Action
from coscribe.api.models import Outgoing
from coscribe.api.route import ACaller, AServices, PolicyRoute, action
from coscribe.api.workspaces import WorkspaceId

router = APIRouter(route_class=PolicyRoute, tags=["workspaces"])

ONE = "/api/workspace/{workspaceId}"


class NotTaken(Outgoing):
    """A write to the files that was not taken in."""

    path: str
    code: str = Field(description="of the error, as everywhere")
    detail: str
    kept: str = Field(description="where the content is kept on the server; empty: it is still where it was written")


class MountState(Outgoing):
    """Whether a workspace is kept as files on the server's disk."""

    status: Literal["active", "stopped"]
    mount_path: str = Field(description="the folder on the server")
    server_sequence_id: int | None = Field(description="the files are the workspace as it was then, or later")
    not_taken: list[NotTaken] = Field(description="the newest last")


@router.get(ONE, openapi_extra=action(Action.SEE_DOCUMENT))
async def see_mount(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> MountState:
    """Whether it is kept as files, and what was written to them and could not be taken in."""
    return _shown(await services.mounts.get(caller, workspace_id))


@router.post(f"{ONE}/start", openapi_extra=action(Action.MOUNT_WORKSPACE))
async def start_workspace(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> MountState:
    """From now on it is kept as files on the server's disk: what people type is in them a moment later, and what
    programs write to them is in the workspace."""
    return _shown(await services.mounts.mount(caller, workspace_id))


@router.post(f"{ONE}/stop", openapi_extra=action(Action.MOUNT_WORKSPACE))
async def stop_workspace(workspace_id: WorkspaceId, caller: ACaller, services: AServices) -> MountState:
    """The files stay, and are looked at again when it is started again."""
    return _shown(await services.mounts.unmount(caller, workspace_id))


def _shown(mount: Mount) -> MountState:
    mounted = mount.mounted
    return MountState(
        status=mount.status,
        mount_path=mount.mount_path,
        server_sequence_id=None if mounted is None else mounted.sequence,
        not_taken=[] if mounted is None else [NotTaken.model_validate(notice) for notice in mounted.notices],
    )
