/** API tokens, for bots and agents. */

import { NativeSelect, TextInput } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { listDocuments } from "../api/documents";
import { keys } from "../api/keys";
import type { DocumentRow, Token, TokenScope } from "../api/models";
import { createToken, listTokens, revokeToken } from "../api/tokens";
import { ActionButton } from "../parts/action_button";
import { confirm, showOnce } from "../parts/dialogs";
import { Form } from "../parts/form";
import { Moment } from "../parts/moment";
import { Tag } from "../parts/notice";
import { Page, Part } from "../parts/page";
import { say } from "../shell/say";
import { Failed } from "../states/failed";
import { Opening } from "../states/opening";
import { AccountTabs } from "./tabs";

const SCOPES: { value: TokenScope; label: string }[] = [
  { value: "read", label: "read" },
  { value: "edit", label: "read and edit" },
  { value: "manage", label: "all that you may do with documents" },
];

export default function TokensPage() {
  const queries = useQueryClient();
  const tokens = useQuery({ queryKey: keys.tokens, queryFn: listTokens });
  const documents = useQuery({
    queryKey: keys.newest,
    queryFn: ({ signal }) => listDocuments({}, "", "", signal),
  });
  const mine = documents.data?.items ?? [];
  return (
    <Page title="API tokens">
      <AccountTabs />
      <p className="lead">A token lets a program do what you may do, and no more.</p>
      {tokens.isPending && <Opening />}
      {tokens.isError && <Failed error={tokens.error} again={() => void tokens.refetch()} />}
      {tokens.data && tokens.data.length === 0 && <p className="empty">No tokens.</p>}
      {tokens.data && tokens.data.length > 0 && (
        <ul className="rows" aria-label="Tokens">
          {tokens.data.map((token) => (
            <TokenItem key={token.tokenId} token={token} documents={mine} />
          ))}
        </ul>
      )}
      <br />
      <Part title="A new token">
        <Form
          submit="Create a token"
          action={async (values, form) => {
            const made = await createToken({
              name: values["name"] ?? "",
              scope: scopeOf(values["scope"]),
              days: Number(values["days"]),
              documentId: values["documentId"] || null,
            });
            form.reset();
            await queries.invalidateQueries({ queryKey: keys.tokens });
            const text = "Keep it where only your program reads it. It is shown only this once.";
            await showOnce("Your new token", text, made.secret);
          }}
        >
          <TextInput
            name="name"
            label="Name"
            description="What will use it, for example: release bot"
            required
            maxLength={128}
          />
          <NativeSelect name="scope" label="It may" data={SCOPES} defaultValue="edit" />
          <NativeSelect
            name="documentId"
            label="In"
            data={[
              { value: "", label: "all my documents" },
              ...mine.map(({ documentId, name }) => ({ value: documentId, label: name })),
            ]}
          />
          <TextInput
            name="days"
            type="number"
            label="Days it lasts"
            min={1}
            max={365}
            defaultValue={90}
            required
            maw="10rem"
          />
        </Form>
      </Part>
    </Page>
  );
}

function TokenItem({ token, documents }: { token: Token; documents: DocumentRow[] }) {
  const queries = useQueryClient();
  const isOver = token.revokedAt !== null || new Date(token.expiresAt).getTime() < Date.now();
  const where =
    token.documentId === null
      ? "all documents"
      : (documents.find((each) => each.documentId === token.documentId)?.name ?? token.documentId);
  const revoke = async () => {
    if (!(await confirm(`Revoke “${token.name}”?`, "Whatever uses it is out at once.", "Revoke"))) return;
    await revokeToken(token.tokenId);
    await queries.invalidateQueries({ queryKey: keys.tokens });
    say("Revoked.");
  };
  return (
    <li className="row">
      <div className="grow">
        <span className="name">{token.name}</span>
        <p className="meta">
          <code>{token.prefix}…</code>
          <span>
            {token.scope}, {where}
          </span>
          {token.revokedAt !== null ? (
            <span>
              revoked <Moment at={token.revokedAt} />
            </span>
          ) : (
            <span>
              ends <Moment at={token.expiresAt} />
            </span>
          )}
          {token.usedAt ? (
            <span>
              used <Moment at={token.usedAt} />
            </span>
          ) : (
            <span>not used yet</span>
          )}
        </p>
      </div>
      {isOver ? (
        <Tag>over</Tag>
      ) : (
        <ActionButton aria-label={`Revoke ${token.name}`} action={revoke}>
          Revoke
        </ActionButton>
      )}
    </li>
  );
}

function scopeOf(value: string | undefined): TokenScope {
  return SCOPES.find((each) => each.value === value)?.value ?? "read";
}
