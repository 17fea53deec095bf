import { useQuery } from "@tanstack/react-query";
import { decline, grant, listAccessRequests } from "../api/access_requests";
import { keys } from "../api/keys";
import type { AccessRequest, LinkRole } from "../api/models";
import { ActionButton } from "../parts/action_button";
import { Moment } from "../parts/moment";
import { say } from "../shell/say";
import { LIVE_MS } from "./roles";
import { useRefresh } from "./use_refresh";

/** People who have asked to be let in. */
export function AccessRequests({ documentId }: { documentId: string }) {
  const refresh = useRefresh(documentId);
  const requests = useQuery({
    queryKey: keys.accessRequests(documentId),
    queryFn: () => listAccessRequests(documentId),
    refetchInterval: LIVE_MS,
  });
  if (!requests.data?.length) return null;
  const letIn =
    ({ requestId, person }: AccessRequest, role: LinkRole) =>
    async () => {
      await grant(documentId, requestId, role);
      await refresh();
      say(`${person.displayName} is in.`);
    };
  const refuse =
    ({ requestId }: AccessRequest) =>
    async () => {
      await decline(documentId, requestId);
      await refresh();
      say("Declined.");
    };
  return (
    <section aria-label="Asking for access">
      <h3>Asking for access</h3>
      <ul className="rows">
        {requests.data.map((item) => (
          <li key={item.requestId} className="row">
            <div className="grow">
              <span className="name">{item.person.displayName}</span>
              <p className="meta">
                <span>@{item.person.handle}</span>
                <span>
                  asked <Moment at={item.askedAt} />
                </span>
              </p>
              {item.message && <p>{item.message}</p>}
            </div>
            <div className="actions">
              <ActionButton aria-label={`Let view: ${item.person.displayName}`} action={letIn(item, "viewer")}>
                Let view
              </ActionButton>
              <ActionButton aria-label={`Let edit: ${item.person.displayName}`} action={letIn(item, "editor")}>
                Let edit
              </ActionButton>
              <ActionButton aria-label={`Decline ${item.person.displayName}`} action={refuse(item)}>
                Decline
              </ActionButton>
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}
