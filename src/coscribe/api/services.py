"""What the API works with: put together by the composition root."""

from __future__ import annotations

from typing import NamedTuple

from coscribe.access.accounts import Accounts
from coscribe.access.administration import Administration
from coscribe.access.auditing import Audits
from coscribe.access.authentication import Authentication
from coscribe.access.bundles import Bundles
from coscribe.access.directory import Directory
from coscribe.access.documents import Documents
from coscribe.access.events import Notes
from coscribe.access.external import ExternalSignIn
from coscribe.access.git_work import GitWork
from coscribe.access.groups import Groups
from coscribe.access.imports import Imports
from coscribe.access.invitations import Invitations
from coscribe.access.keys import Keys
from coscribe.access.links import Links
from coscribe.access.members import Members
from coscribe.access.mounts import Mounts
from coscribe.access.passwords import Passwords
from coscribe.access.projects import Projects
from coscribe.access.quotas import StoredQuotas
from coscribe.access.redactions import Redactions
from coscribe.access.requests import AccessRequests
from coscribe.access.retention import DocumentRetention
from coscribe.access.sessions import Sessions
from coscribe.access.tokens import ApiTokens
from coscribe.access.versions import NamedVersions
from coscribe.cluster.everywhere import Everywhere
from coscribe.documents.collaboration import Collaboration
from coscribe.documents.file_system import FileSystem
from coscribe.documents.history import History
from coscribe.documents.restoring import Restoring
from coscribe.documents.searching import Searching
from coscribe.documents.workspace_past import WorkspacePast
from coscribe.persistence.database import Database


class Services(NamedTuple):
    """One of each."""

    database: Database
    authentication: Authentication
    keys: Keys
    notes: Notes
    passwords: Passwords
    accounts: Accounts
    administration: Administration
    sessions: Sessions
    tokens: ApiTokens
    documents: Documents
    members: Members
    groups: Groups
    invitations: Invitations
    requests: AccessRequests
    versions: NamedVersions
    retention: DocumentRetention
    redactions: Redactions
    audits: Audits
    bundles: Bundles
    links: Links
    directory: Directory
    external: ExternalSignIn
    collaboration: Collaboration
    everywhere: Everywhere
    files: FileSystem
    mounts: Mounts
    projects: Projects
    quotas: StoredQuotas
    imports: Imports
    git: GitWork
    history: History
    past: WorkspacePast
    restoring: Restoring
    searching: Searching
    public_url: str
