import { useQuery } from "@tanstack/react-query";
import { keys } from "../api/keys";
import { liftBan, listBans } from "../api/members";
import { ActionButton } from "../parts/action_button";
import { say } from "../shell/say";
import { useRefresh } from "./use_refresh";

/** Who is kept out. */
export function Bans({ documentId }: { documentId: string }) {
  const refresh = useRefresh(documentId);
  const bans = useQuery({ queryKey: keys.bans(documentId), queryFn: () => listBans(documentId) });
  if (!bans.data?.length) return null;
  return (
    <section aria-label="Kept out">
      <h3>Kept out</h3>
      <ul className="rows">
        {bans.data.map(({ user }) => (
          <li key={user.userId} className="row">
            <div className="grow">
              <span className="name">{user.displayName}</span>
              <p className="meta">@{user.handle}</p>
            </div>
            <ActionButton
              aria-label={`Let ${user.displayName} in again`}
              action={async () => {
                await liftBan(documentId, user.userId);
                await refresh();
                say(`${user.displayName} can be let in again.`);
              }}
            >
              Let in again
            </ActionButton>
          </li>
        ))}
      </ul>
    </section>
  );
}
