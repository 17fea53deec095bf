import { TextInput } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { inviteToServer, listServerInvitations, withdrawFromServer } from "../api/admin";
import { keys } from "../api/keys";
import type { Invitation } from "../api/models";
import { ActionButton } from "../parts/action_button";
import { showOnce } from "../parts/dialogs";
import { Form } from "../parts/form";
import { Moment } from "../parts/moment";
import { Part } from "../parts/page";
import { say } from "../shell/say";
import { Failed } from "../states/failed";

/** Invitations to make an account here. */
export function ServerInvitations() {
  const queries = useQueryClient();
  const waiting = useQuery({ queryKey: keys.adminInvitations, queryFn: listServerInvitations });
  const refresh = () => queries.invalidateQueries({ queryKey: keys.adminInvitations });
  return (
    <>
      <Part title="Invite somebody to this server">
        <Form
          submit="Invite"
          inline
          action={async (values, form) => {
            const made = await inviteToServer((values["email"] ?? "").trim() || null);
            form.reset();
            await refresh();
            if (made.url === null) return say("The invitation is on its way.");
            const text =
              "Whoever opens this link can make an account, once, within 14 days. It is shown only this once.";
            await showOnce("An invitation", text, made.url);
          }}
        >
          <TextInput
            name="email"
            type="email"
            label="E-mail (optional)"
            description="Left empty, you get a link to pass on."
            autoComplete="off"
          />
        </Form>
      </Part>
      <h2>Invited, no account yet</h2>
      {waiting.isError && <Failed error={waiting.error} again={() => void waiting.refetch()} />}
      {waiting.data?.length === 0 && <p className="empty">Nobody waits.</p>}
      {waiting.data && waiting.data.length > 0 && (
        <ul className="rows">
          {waiting.data.map((item) => (
            <Waiting key={item.invitationId} item={item} refresh={refresh} />
          ))}
        </ul>
      )}
    </>
  );
}

function Waiting({ item, refresh }: { item: Invitation; refresh: () => Promise<unknown> }) {
  const withdraw = async () => {
    await withdrawFromServer(item.invitationId);
    await refresh();
    say("Withdrawn.");
  };
  return (
    <li className="row">
      <div className="grow">
        <span className="name">{item.email ?? "A link"}</span>
        <p className="meta">
          <span>by {item.inviter || "an administrator"}</span>
          <span>
            ends <Moment at={item.expiresAt} />
          </span>
        </p>
      </div>
      <ActionButton aria-label={`Withdraw the invitation of ${item.email ?? "a link"}`} action={withdraw}>
        Withdraw
      </ActionButton>
    </li>
  );
}
