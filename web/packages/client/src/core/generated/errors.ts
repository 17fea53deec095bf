// Generated from contract/errors.json by web/tools/generate.mjs.

/** One row of the error table. */
export interface ErrorKind {
  readonly fault: "client" | "server";
  readonly retry: "never" | "same" | "rejoin";
  /** Whether the connection ends with it. */
  readonly closes: boolean;
  /** What to do, for people. */
  readonly help: string;
}

export const ERRORS = {
  malformed_json: {"fault":"client","retry":"never","closes":false,"help":"Send one JSON object per text frame."},
  binary_frame: {"fault":"client","retry":"never","closes":false,"help":"Send text frames; the protocol is JSON."},
  unknown_type: {"fault":"client","retry":"never","closes":false,"help":"See docs/protocol.md for the known types."},
  invalid_message: {"fault":"client","retry":"never","closes":false,"help":"Compare the message with contract/wire.schema.json."},
  message_too_large: {"fault":"client","retry":"never","closes":true,"help":"Split the edit; the limit is in the welcome message."},
  hello_expected: {"fault":"client","retry":"never","closes":true,"help":"The first message must be hello."},
  hello_repeated: {"fault":"client","retry":"never","closes":false,"help":"One hello per connection is enough."},
  hello_timeout: {"fault":"client","retry":"same","closes":true,"help":"Send hello right after connecting."},
  unsupported_protocol: {"fault":"client","retry":"never","closes":true,"help":"Offer a protocol version the server names."},
  authentication_failed: {"fault":"client","retry":"never","closes":true,"help":"Get a new token: coscribe token USER."},
  user_mismatch: {"fault":"client","retry":"never","closes":false,"help":"userId must be the one in the welcome message."},
  session_ended: {"fault":"client","retry":"never","closes":true,"help":"Sign in again; pending edits stay on the device."},
  rate_limited: {"fault":"client","retry":"same","closes":false,"help":"Wait, then send the same message again."},
  inbox_full: {"fault":"client","retry":"same","closes":true,"help":"Keep one message in flight; reconnect."},
  slow_consumer: {"fault":"client","retry":"rejoin","closes":true,"help":"Read faster; reconnect and rejoin."},
  invalid_file_id: {"fault":"client","retry":"never","closes":false,"help":"1 to 128 of: letters, digits, dot, dash, underscore."},
  file_not_found: {"fault":"client","retry":"never","closes":false,"help":"Check the fileId and your access."},
  permission_denied: {"fault":"client","retry":"never","closes":false,"help":"Ask an owner for the right."},
  access_removed: {"fault":"client","retry":"never","closes":false,"help":"Keep your pending edits as a patch; ask an owner for access."},
  not_joined: {"fault":"client","retry":"rejoin","closes":false,"help":"Join the file before using it."},
  already_joined: {"fault":"client","retry":"never","closes":false,"help":"Leave the file before joining again."},
  too_many_files: {"fault":"client","retry":"never","closes":false,"help":"Leave files you do not need."},
  snapshot_not_sent: {"fault":"client","retry":"never","closes":false,"help":"Answer the snapshot that was sent, with its sequence."},
  invalid_operation_id: {"fault":"client","retry":"never","closes":false,"help":"1 to 128 printable ASCII characters without blanks."},
  operation_id_reused: {"fault":"client","retry":"never","closes":false,"help":"Give every operation an id of its own."},
  chain_mismatch: {"fault":"client","retry":"never","closes":false,"help":"Resend a chain exactly as it was first sent."},
  chain_too_long: {"fault":"client","retry":"never","closes":false,"help":"Send shorter chains."},
  invalid_payload: {"fault":"client","retry":"never","closes":false,"help":"The payload must have the form its operationType asks for."},
  invalid_text: {"fault":"client","retry":"never","closes":false,"help":"No NUL, no CR (use LF), no lone surrogates."},
  position_out_of_range: {"fault":"client","retry":"never","closes":false,"help":"Positions are code points of the text at baseVersion."},
  operation_too_large: {"fault":"client","retry":"never","closes":false,"help":"Split the edit."},
  file_too_large: {"fault":"client","retry":"never","closes":false,"help":"The file has reached its size limit."},
  base_version_future: {"fault":"client","retry":"rejoin","closes":false,"help":"baseVersion must be a version the server has sent."},
  base_version_too_old: {"fault":"client","retry":"never","closes":false,"help":"Rejoin; offer the edit to its author as a patch."},
  history_unavailable: {"fault":"client","retry":"never","closes":false,"help":"This replica's past is not in the log; rejoin afresh."},
  invalid_request: {"fault":"client","retry":"never","closes":false,"help":"Compare the request with /api/openapi.json."},
  not_found: {"fault":"client","retry":"never","closes":false,"help":"Check the address and your access."},
  method_not_allowed: {"fault":"client","retry":"never","closes":false,"help":"The Allow header names the methods of this address."},
  unsupported_media_type: {"fault":"client","retry":"never","closes":false,"help":"Send application/json, or what the page names."},
  request_too_large: {"fault":"client","retry":"never","closes":false,"help":"Send a smaller body."},
  conflict: {"fault":"client","retry":"never","closes":false,"help":"Look at the present state, then decide anew."},
  precondition_failed: {"fault":"client","retry":"never","closes":false,"help":"It has changed since; read it again and use its new ETag."},
  precondition_required: {"fault":"client","retry":"never","closes":false,"help":"Send If-Match with the ETag that you read."},
  idempotency_key_reused: {"fault":"client","retry":"never","closes":false,"help":"Give every request a key of its own."},
  too_many_requests: {"fault":"client","retry":"same","closes":false,"help":"Wait for the seconds in Retry-After, then send it again."},
  export_too_large: {"fault":"client","retry":"never","closes":false,"help":"Name fewer documents, and export the others after them."},
  quota_exceeded: {"fault":"client","retry":"never","closes":false,"help":"Delete something, or ask for more room."},
  sign_in_required: {"fault":"client","retry":"never","closes":false,"help":"Sign in, or send a bearer token."},
  wrong_credentials: {"fault":"client","retry":"never","closes":false,"help":"Check name and password, or reset the password."},
  reauthentication_required: {"fault":"client","retry":"never","closes":false,"help":"Send your present password with the request."},
  csrf_failed: {"fault":"client","retry":"never","closes":false,"help":"Send the session's X-CSRF-Token, from a page of this server."},
  token_in_url: {"fault":"client","retry":"never","closes":false,"help":"Send it in a header or a body; revoke it, as URLs are written down."},
  sign_up_closed: {"fault":"client","retry":"never","closes":false,"help":"Ask somebody here for an invitation."},
  setup_required: {"fault":"client","retry":"never","closes":false,"help":"Open the link that coscribe serve has printed."},
  secret_invalid: {"fault":"client","retry":"never","closes":false,"help":"The link was used, has expired or was withdrawn; ask for another."},
  password_refused: {"fault":"client","retry":"never","closes":false,"help":"Choose another: 10 to 256 characters, not a common one."},
  handle_taken: {"fault":"client","retry":"never","closes":false,"help":"Choose another handle."},
  account_locked: {"fault":"client","retry":"never","closes":false,"help":"Ask an administrator."},
  external_sign_in_failed: {"fault":"client","retry":"never","closes":false,"help":"Begin to sign in again; the provider may say why."},
  banned: {"fault":"client","retry":"never","closes":false,"help":"Ask an owner to lift the ban."},
  last_owner: {"fault":"client","retry":"never","closes":false,"help":"Make somebody else the owner first."},
  overloaded: {"fault":"server","retry":"same","closes":false,"help":"Wait a moment, then send the same again."},
  provider_unavailable: {"fault":"server","retry":"same","closes":false,"help":"Try again later, or sign in with a password."},
  storage_unavailable: {"fault":"server","retry":"rejoin","closes":false,"help":"Keep the edit; rejoin and send the same again."},
  file_damaged: {"fault":"server","retry":"never","closes":false,"help":"An operator should run coscribe verify on this file."},
  shutting_down: {"fault":"server","retry":"rejoin","closes":false,"help":"Reconnect after the time that is named."},
  internal: {"fault":"server","retry":"rejoin","closes":false,"help":"Rejoin and send the same again; report the error."},
} as const satisfies Readonly<Record<string, ErrorKind>>;

export type ErrorCode = keyof typeof ERRORS;
