import { useQuery } from "@tanstack/react-query";
import { listInvitations, withdraw } from "../api/invitations";
import { keys } from "../api/keys";
import type { Invitation } from "../api/models";
import { ActionButton } from "../parts/action_button";
import { Moment } from "../parts/moment";
import { say } from "../shell/say";
import { LIVE_MS } from "./roles";
import { useRefresh } from "./use_refresh";

/** Invitations that nobody has answered yet. */
export function Pending({ documentId }: { documentId: string }) {
  const refresh = useRefresh(documentId);
  const found = useQuery({
    queryKey: keys.invitations(documentId),
    queryFn: () => listInvitations(documentId),
    refetchInterval: LIVE_MS,
  });
  if (!found.data?.length) return null;
  const takeBack = (item: Invitation) => async () => {
    await withdraw(documentId, item.invitationId);
    await refresh();
    say("Withdrawn.");
  };
  return (
    <section aria-label="Invited, no answer yet">
      <h3>Invited, no answer yet</h3>
      <ul className="rows">
        {found.data.map((item) => (
          <li key={item.invitationId} className="row">
            <div className="grow">
              <span className="name">{nameOf(item)}</span>
              <p className="meta">
                <span>as {item.role}</span>
                <span>
                  ends <Moment at={item.expiresAt} />
                </span>
              </p>
            </div>
            <ActionButton aria-label={`Withdraw the invitation of ${nameOf(item)}`} action={takeBack(item)}>
              Withdraw
            </ActionButton>
          </li>
        ))}
      </ul>
    </section>
  );
}

function nameOf({ user, email }: Invitation): string {
  return user ? `${user.displayName} (@${user.handle})` : (email ?? "somebody");
}
