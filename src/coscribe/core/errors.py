"""Every error a client can be shown: one tree, stable codes, and for each whose fault it is and what to do.

A code never changes its meaning. ``fault`` says who has to change something; ``retry`` says what the sender
may do with the same message:

- ``never``   the same message will be refused again
- ``same``    send the same bytes again, a little later
- ``rejoin``  join the file again first, then send the same bytes again
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Fault = Literal["client", "server"]
Retry = Literal["never", "same", "rejoin"]


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the error table."""

    code: str
    fault: Fault
    retry: Retry
    closes: bool
    help: str


class Code(Enum):
    """The error table. ``closes`` marks the few after which the connection cannot go on."""

    # The envelope.
    MALFORMED_JSON = ErrorKind("malformed_json", "client", "never", False, "Send one JSON object per text frame.")
    BINARY_FRAME = ErrorKind("binary_frame", "client", "never", False, "Send text frames; the protocol is JSON.")
    UNKNOWN_TYPE = ErrorKind("unknown_type", "client", "never", False, "See docs/protocol.md for the known types.")
    INVALID_MESSAGE = ErrorKind(
        "invalid_message", "client", "never", False, "Compare the message with contract/wire.schema.json."
    )
    MESSAGE_TOO_LARGE = ErrorKind(
        "message_too_large", "client", "never", True, "Split the edit; the limit is in the welcome message."
    )
    # The session.
    HELLO_EXPECTED = ErrorKind("hello_expected", "client", "never", True, "The first message must be hello.")
    HELLO_REPEATED = ErrorKind("hello_repeated", "client", "never", False, "One hello per connection is enough.")
    HELLO_TIMEOUT = ErrorKind("hello_timeout", "client", "same", True, "Send hello right after connecting.")
    UNSUPPORTED_PROTOCOL = ErrorKind(
        "unsupported_protocol", "client", "never", True, "Offer a protocol version the server names."
    )
    AUTHENTICATION_FAILED = ErrorKind(
        "authentication_failed", "client", "never", True, "Get a new token: coscribe token USER."
    )
    USER_MISMATCH = ErrorKind(
        "user_mismatch", "client", "never", False, "userId must be the one in the welcome message."
    )
    SESSION_ENDED = ErrorKind(
        "session_ended", "client", "never", True, "Sign in again; pending edits stay on the device."
    )
    RATE_LIMITED = ErrorKind("rate_limited", "client", "same", False, "Wait, then send the same message again.")
    INBOX_FULL = ErrorKind("inbox_full", "client", "same", True, "Keep one message in flight; reconnect.")
    SLOW_CONSUMER = ErrorKind("slow_consumer", "client", "rejoin", True, "Read faster; reconnect and rejoin.")
    # Files.
    INVALID_FILE_ID = ErrorKind(
        "invalid_file_id", "client", "never", False, "1 to 128 of: letters, digits, dot, dash, underscore."
    )
    FILE_NOT_FOUND = ErrorKind("file_not_found", "client", "never", False, "Check the fileId and your access.")
    INVALID_PATH = ErrorKind(
        "invalid_path",
        "client",
        "never",
        False,
        "Names from the top with slashes between, none empty, none . or ..",
    )
    NOT_A_TEXT = ErrorKind("not_a_text", "client", "never", False, "Only texts can be edited; read it as it is.")
    PERMISSION_DENIED = ErrorKind("permission_denied", "client", "never", False, "Ask an owner for the right.")
    ACCESS_REMOVED = ErrorKind(
        "access_removed", "client", "never", False, "Keep your pending edits as a patch; ask an owner for access."
    )
    RULES_CHANGED = ErrorKind(
        "rules_changed", "client", "rejoin", False, "Join again: other paths are shown to you now."
    )
    NOT_JOINED = ErrorKind("not_joined", "client", "rejoin", False, "Join the file before using it.")
    ALREADY_JOINED = ErrorKind("already_joined", "client", "never", False, "Leave the file before joining again.")
    TOO_MANY_FILES = ErrorKind("too_many_files", "client", "never", False, "Leave files you do not need.")
    SNAPSHOT_NOT_SENT = ErrorKind(
        "snapshot_not_sent", "client", "never", False, "Answer the snapshot that was sent, with its sequence."
    )
    # Operations.
    INVALID_OPERATION_ID = ErrorKind(
        "invalid_operation_id",
        "client",
        "never",
        False,
        "1 to 128 printable ASCII characters without blanks.",
    )
    OPERATION_ID_REUSED = ErrorKind(
        "operation_id_reused", "client", "never", False, "Give every operation an id of its own."
    )
    CHAIN_MISMATCH = ErrorKind(
        "chain_mismatch", "client", "never", False, "Resend a chain exactly as it was first sent."
    )
    CHAIN_TOO_LONG = ErrorKind("chain_too_long", "client", "never", False, "Send shorter chains.")
    INVALID_PAYLOAD = ErrorKind(
        "invalid_payload",
        "client",
        "never",
        False,
        "The payload must have the form its operationType asks for.",
    )
    INVALID_TEXT = ErrorKind("invalid_text", "client", "never", False, "No NUL, no CR (use LF), no lone surrogates.")
    POSITION_OUT_OF_RANGE = ErrorKind(
        "position_out_of_range",
        "client",
        "never",
        False,
        "Positions are code points of the text at baseVersion.",
    )
    OPERATION_TOO_LARGE = ErrorKind("operation_too_large", "client", "never", False, "Split the edit.")
    FILE_TOO_LARGE = ErrorKind("file_too_large", "client", "never", False, "The file has reached its size limit.")
    BASE_VERSION_FUTURE = ErrorKind(
        "base_version_future", "client", "rejoin", False, "baseVersion must be a version the server has sent."
    )
    BASE_VERSION_TOO_OLD = ErrorKind(
        "base_version_too_old", "client", "never", False, "Rejoin; offer the edit to its author as a patch."
    )
    HISTORY_UNAVAILABLE = ErrorKind(
        "history_unavailable",
        "client",
        "never",
        False,
        "This replica's past is not in the log; rejoin afresh.",
    )
    HISTORY_PRUNED = ErrorKind(
        "history_pruned",
        "client",
        "never",
        False,
        "That part of the history was deleted, as its retention says; ask for what came later.",
    )
    # Requests by HTTP.
    INVALID_REQUEST = ErrorKind(
        "invalid_request", "client", "never", False, "Compare the request with /api/openapi.json."
    )
    NOT_FOUND = ErrorKind("not_found", "client", "never", False, "Check the address and your access.")
    METHOD_NOT_ALLOWED = ErrorKind(
        "method_not_allowed", "client", "never", False, "The Allow header names the methods of this address."
    )
    UNSUPPORTED_MEDIA_TYPE = ErrorKind(
        "unsupported_media_type", "client", "never", False, "Send application/json, or what the page names."
    )
    REQUEST_TOO_LARGE = ErrorKind("request_too_large", "client", "never", False, "Send a smaller body.")
    CONFLICT = ErrorKind("conflict", "client", "never", False, "Look at the present state, then decide anew.")
    PRECONDITION_FAILED = ErrorKind(
        "precondition_failed", "client", "never", False, "It has changed since; read it again and use its new ETag."
    )
    PRECONDITION_REQUIRED = ErrorKind(
        "precondition_required", "client", "never", False, "Send If-Match with the ETag that you read."
    )
    IDEMPOTENCY_KEY_REUSED = ErrorKind(
        "idempotency_key_reused", "client", "never", False, "Give every request a key of its own."
    )
    TOO_MANY_REQUESTS = ErrorKind(
        "too_many_requests", "client", "same", False, "Wait for the seconds in Retry-After, then send it again."
    )
    EXPORT_TOO_LARGE = ErrorKind(
        "export_too_large", "client", "never", False, "Name fewer documents, and export the others after them."
    )
    IMPORT_REFUSED = ErrorKind(
        "import_refused",
        "client",
        "never",
        False,
        "The detail names what cannot be imported and why; take it out, and import the rest again.",
    )
    TEXT_REDACTED = ErrorKind(
        "text_redacted", "client", "never", False, "This was taken out for good, as it must not be known: leave it out."
    )
    HISTORY_REDACTED = ErrorKind(
        "history_redacted", "client", "rejoin", False, "Join again: something was taken out of the file for good."
    )
    LEGAL_HOLD = ErrorKind(
        "legal_hold", "client", "never", False, "An administrator has to release the document's legal hold first."
    )
    QUOTA_EXCEEDED = ErrorKind("quota_exceeded", "client", "never", False, "Delete something, or ask for more room.")
    # Git.
    NOT_A_REPOSITORY = ErrorKind(
        "not_a_repository", "client", "never", False, "Start the workspace, and make a repository of it with git/init."
    )
    GIT_CONFIG_REFUSED = ErrorKind(
        "git_config_refused", "client", "never", False, "Remove what is named from the folder .git, then try again."
    )
    UNCOMMITTED_CHANGES = ErrorKind(
        "uncommitted_changes", "client", "never", False, "Commit first, or ask for them to be carried along."
    )
    MERGE_UNFINISHED = ErrorKind(
        "merge_unfinished", "client", "never", False, "Solve the conflicts and commit, or abort the merge."
    )
    PUSH_REJECTED = ErrorKind("push_rejected", "client", "never", False, "Pull what is there first, then push again.")
    REMOTE_REFUSED = ErrorKind(
        "remote_refused", "client", "never", False, "Check the address of the remote and your credentials for it."
    )
    GIT_FAILED = ErrorKind("git_failed", "client", "never", False, "Read what git says, and look at the status.")
    # Accounts.
    SIGN_IN_REQUIRED = ErrorKind("sign_in_required", "client", "never", False, "Sign in, or send a bearer token.")
    WRONG_CREDENTIALS = ErrorKind(
        "wrong_credentials", "client", "never", False, "Check name and password, or reset the password."
    )
    REAUTHENTICATION_REQUIRED = ErrorKind(
        "reauthentication_required", "client", "never", False, "Send your present password with the request."
    )
    CSRF_FAILED = ErrorKind(
        "csrf_failed", "client", "never", False, "Send the session's X-CSRF-Token, from a page of this server."
    )
    TOKEN_IN_URL = ErrorKind(
        "token_in_url", "client", "never", False, "Send it in a header or a body; revoke it, as URLs are written down."
    )
    SIGN_UP_CLOSED = ErrorKind("sign_up_closed", "client", "never", False, "Ask somebody here for an invitation.")
    SETUP_REQUIRED = ErrorKind(
        "setup_required", "client", "never", False, "Open the link that coscribe serve has printed."
    )
    SECRET_INVALID = ErrorKind(
        "secret_invalid", "client", "never", False, "The link was used, has expired or was withdrawn; ask for another."
    )
    PASSWORD_REFUSED = ErrorKind(
        "password_refused", "client", "never", False, "Choose another: 10 to 256 characters, not a common one."
    )
    HANDLE_TAKEN = ErrorKind("handle_taken", "client", "never", False, "Choose another handle.")
    ACCOUNT_LOCKED = ErrorKind("account_locked", "client", "never", False, "Ask an administrator.")
    EXTERNAL_SIGN_IN_FAILED = ErrorKind(
        "external_sign_in_failed", "client", "never", False, "Begin to sign in again; the provider may say why."
    )
    BANNED = ErrorKind("banned", "client", "never", False, "Ask an owner to lift the ban.")
    LAST_OWNER = ErrorKind("last_owner", "client", "never", False, "Make somebody else the owner first.")
    # The server's own.
    OVERLOADED = ErrorKind("overloaded", "server", "same", False, "Wait a moment, then send the same again.")
    PROVIDER_UNAVAILABLE = ErrorKind(
        "provider_unavailable", "server", "same", False, "Try again later, or sign in with a password."
    )
    STORAGE_UNAVAILABLE = ErrorKind(
        "storage_unavailable", "server", "rejoin", False, "Keep the edit; rejoin and send the same again."
    )
    MOVED = ErrorKind("moved", "server", "rejoin", False, "Join again: another instance looks after it from now on.")
    OWNER_UNAVAILABLE = ErrorKind(
        "owner_unavailable",
        "server",
        "rejoin",
        False,
        "Keep the edit; in a moment another instance takes over. Rejoin and send the same again.",
    )
    FILE_DAMAGED = ErrorKind(
        "file_damaged", "server", "never", False, "An operator should run coscribe verify on this file."
    )
    SHUTTING_DOWN = ErrorKind("shutting_down", "server", "rejoin", False, "Reconnect after the time that is named.")
    INTERNAL = ErrorKind("internal", "server", "rejoin", False, "Rejoin and send the same again; report the error.")


class CoscribeError(Exception):
    """A refusal with a stable code. Raised by the core and by every layer above it.

    ``detail`` is for people and may change; ``operation_id`` and ``file_id`` say what was refused, if known.
    """

    def __init__(
        self, code: Code, detail: str = "", *, file_id: str | None = None, operation_id: str | None = None
    ) -> None:
        super().__init__(f"{code.value.code}: {detail or code.value.help}")
        self.code = code
        self.detail = detail
        self.file_id = file_id
        self.operation_id = operation_id
