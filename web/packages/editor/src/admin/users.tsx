import { useQueryClient } from "@tanstack/react-query";
import { changeUser, listUsers, makeResetLink, signOutUser } from "../api/admin";
import { keys } from "../api/keys";
import type { AdminUser } from "../api/models";
import { confirm, showOnce } from "../parts/dialogs";
import { Moment } from "../parts/moment";
import { PagedList } from "../parts/more";
import { Tag } from "../parts/notice";
import { type RowAction, RowMenu } from "../parts/row_menu";
import { useSession } from "../session";
import { say } from "../shell/say";
import { Searched } from "./search";

/** All accounts. */
export function Users() {
  return (
    <Searched label="Find people">
      {(search) => (
        <PagedList
          name={[...keys.adminUsers, search]}
          page={(cursor) => listUsers(search, cursor)}
          idOf={(user) => user.userId}
          row={(user) => <UserRow user={user} />}
          label="People"
          empty={<p className="empty">Nobody is called that.</p>}
        />
      )}
    </Searched>
  );
}

function UserRow({ user }: { user: AdminUser }) {
  const actions = useUserActions(user);
  const { account } = useSession();
  return (
    <div className="row">
      <div className="grow">
        <span className="name">{user.displayName}</span>
        {user.userId === account?.userId && " (you)"}
        <p className="meta">
          {user.administrator && <Tag kind="strong">administrator</Tag>}
          {user.status === "locked" && <Tag kind="warning">locked</Tag>}
          <span>@{user.handle}</span>
          {user.email && <span>{user.email}</span>}
          <span>
            since <Moment at={user.createdAt} />
          </span>
        </p>
      </div>
      <RowMenu label={`Actions for ${user.displayName}`} actions={actions} />
    </div>
  );
}

function useUserActions({ userId, displayName, administrator, status }: AdminUser): RowAction[] {
  const queries = useQueryClient();
  const { account, reload } = useSession();
  const set = async (changes: { locked?: boolean; administrator?: boolean }, told: string) => {
    await changeUser(userId, changes);
    say(told);
    if (userId === account?.userId) await reload();
    await queries.invalidateQueries({ queryKey: keys.adminUsers });
  };
  const promote = () => set({ administrator: true }, `${displayName} administers this server now.`);
  const demote = async () => {
    const text = "They stay a member of this server.";
    if (!(await confirm(`Take ${displayName}'s administration away?`, text, "Take away"))) return;
    await set({ administrator: false }, `${displayName} does not administer any more.`);
  };
  const signOut = async () => {
    const text = "Every session of theirs ends, and their API tokens are revoked.";
    if (!(await confirm(`Sign ${displayName} out?`, text, "Sign out"))) return;
    await signOutUser(userId);
    say(`${displayName} is signed out everywhere.`);
  };
  const reset = async () => {
    const text = `Hand it to ${displayName}: it sets a new password, once, within an hour. It is shown only this once.`;
    await showOnce("A link to a new password", text, (await makeResetLink(userId)).url);
  };
  const lock = async () => {
    const text = `${displayName} loses every session, token and live connection at once. Their documents stay.`;
    if (!(await confirm(`Lock ${displayName}?`, text, "Lock"))) return;
    await set({ locked: true }, `${displayName} is locked.`);
  };
  return [
    administrator
      ? { text: "Take administration away", action: demote }
      : { text: "Make administrator", action: promote },
    { text: "Link to a new password", action: reset },
    { text: "Sign out everywhere", action: signOut },
    status === "locked"
      ? { text: "Unlock", action: () => set({ locked: false }, `${displayName} is unlocked.`) }
      : { text: "Lock", action: lock, isDangerous: true },
  ];
}
