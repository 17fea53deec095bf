import { NativeSelect } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { leaveDocument } from "../api/documents";
import { keys } from "../api/keys";
import { ban, listMembers, removeMember, setRole, transfer } from "../api/members";
import type { Member, Role } from "../api/models";
import { attempt, confirm } from "../parts/dialogs";
import { Dot, Tag } from "../parts/notice";
import { type RowAction, RowMenu } from "../parts/row_menu";
import { useSession } from "../session";
import { say } from "../shell/say";
import { Failed } from "../states/failed";
import { asRole, LESSER_ROLES, LIVE_MS, ROLES, roleText } from "./roles";
import { useRefresh } from "./use_refresh";

interface MembersProps {
  documentId: string;
  isOwner: boolean;
  onLeft: () => void;
}

/** Everybody with access. */
export function Members({ documentId, isOwner, onLeft }: MembersProps) {
  const members = useQuery({
    queryKey: keys.members(documentId),
    queryFn: () => listMembers(documentId),
    refetchInterval: LIVE_MS,
  });
  if (members.isError && !members.data) {
    return <Failed error={members.error} again={() => void members.refetch()} />;
  }
  return (
    <section aria-label="Members">
      <h3>Members</h3>
      <ul className="rows" aria-busy={members.isPending}>
        {members.data?.map((member) => (
          <MemberRow key={member.memberId} documentId={documentId} member={member} isOwner={isOwner} onLeft={onLeft} />
        ))}
      </ul>
    </section>
  );
}

interface MemberRowProps extends MembersProps {
  member: Member;
}

function MemberRow({ documentId, member, isOwner, onLeft }: MemberRowProps) {
  const { account } = useSession();
  const refresh = useRefresh(documentId);
  const isMe = member.memberId === account?.userId;
  const mayChoose = isOwner && member.kind !== "visitor";
  const choose = (role: Role) =>
    attempt(async () => {
      await setRole(documentId, member.memberId, role);
      say(`${member.name} ${roleText(role)} now.`);
    }).then(refresh);
  return (
    <li className="row">
      <div className="grow">
        <span className="name">
          {member.kind !== "group" && <Dot color={member.color} />} {member.name}
        </span>
        <p className="meta">
          {member.handle && <span>@{member.handle}</span>}
          {member.kind === "visitor" && <span>by a link</span>}
          {member.kind === "group" && <span>a group</span>}
          {isMe && <span>you</span>}
        </p>
      </div>
      {mayChoose ? (
        <NativeSelect
          className="role"
          aria-label={`Role of ${member.name}`}
          data={member.kind === "group" ? LESSER_ROLES : ROLES}
          value={member.role}
          onChange={(event) => void choose(asRole(event.currentTarget.value))}
        />
      ) : (
        <Tag kind={member.role === "owner" ? "strong" : ""}>{roleText(member.role)}</Tag>
      )}
      <RowMenu
        label={`Actions for ${member.name}`}
        actions={useMemberActions({ documentId, member, isOwner, isMe, onLeft, refresh })}
      />
    </li>
  );
}

interface Around extends MemberRowProps {
  isMe: boolean;
  refresh: () => Promise<void>;
}

function useMemberActions({ documentId, member, isOwner, isMe, onLeft, refresh }: Around): RowAction[] {
  const navigate = useNavigate();
  const { memberId, name, kind } = member;
  const leave = async () => {
    const text = "You will not see it any more, until somebody lets you in again.";
    if (!(await confirm("Leave this document?", text, "Leave"))) return;
    await leaveDocument(documentId);
    onLeft();
    navigate("/");
  };
  const give = async () => {
    const text = `${name} owns it then, and you can edit it. Only ${name} can give it back.`;
    if (!(await confirm(`Make ${name} the owner in your place?`, text, "Hand it over"))) return;
    await transfer(documentId, memberId);
    await refresh();
    say(`${name} owns it now.`);
  };
  const remove = async () => {
    const text = "Their access ends at once; what they have not saved stays with them.";
    if (!(await confirm(`Remove ${name}?`, text, "Remove"))) return;
    const { remaining, byLink } = await removeMember(documentId, memberId);
    await refresh();
    if ((remaining ?? byLink) === null || kind === "group") return say(`${name} is removed.`);
    const why = remaining ? "a group still lets them in" : "a link that they know would let them in again";
    const more = `${name} is removed, but ${why}. You can keep them out until you change your mind.`;
    if (!(await confirm(`Keep ${name} out?`, more, "Keep out"))) return;
    await ban(documentId, memberId);
    await refresh();
  };
  const keepOut = async () => {
    const text = "Their access ends at once, and no invitation, link or group lets them in until you change your mind.";
    if (!(await confirm(`Keep ${name} out?`, text, "Keep out"))) return;
    await ban(documentId, memberId);
    await refresh();
    say(`${name} is kept out.`);
  };
  if (isMe) return [{ text: "Leave", action: leave }];
  if (!isOwner) return [];
  const actions: RowAction[] = [{ text: "Remove", action: remove }];
  if (kind === "user" && member.role !== "owner") actions.unshift({ text: "Hand the document over", action: give });
  if (kind !== "group") actions.push({ text: "Keep out", action: keepOut, isDangerous: true });
  return actions;
}
