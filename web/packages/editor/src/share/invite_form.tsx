import { NativeSelect } from "@mantine/core";
import { useState } from "react";
import { invite, inviteMany } from "../api/invitations";
import { setRole } from "../api/members";
import type { Group, InvitedEntry, Role } from "../api/models";
import { attempt } from "../parts/dialogs";
import { Form } from "../parts/form";
import { say } from "../shell/say";
import { PeopleInput } from "./people_input";
import { asRole, ROLES, roleText } from "./roles";
import { useRefresh } from "./use_refresh";

const OUTCOMES: Record<InvitedEntry["outcome"], string> = {
  invited: "invited",
  already_member: "is a member already",
  not_found: "nobody is called that",
  invalid: "is no handle and no address",
  banned: "is kept out",
  too_many: "not invited: too many wait for an answer",
};

/** Invites people by name, handle or address; one, or a pasted list. */
export function InviteForm({ documentId }: { documentId: string }) {
  const [who, setWho] = useState("");
  const [role, setChosen] = useState<Role>("editor");
  const refresh = useRefresh(documentId);
  const addGroup = async ({ groupId, name }: Group) => {
    await setRole(documentId, groupId, role === "owner" ? "editor" : role);
    setWho("");
    await refresh();
    say(`${name} ${roleText(role === "owner" ? "editor" : role)} now.`);
  };
  return (
    <Form
      submit="Invite"
      inline
      action={async () => {
        const text = who.trim();
        if (/[,;\s]/.test(text)) say(told(await inviteMany(documentId, text, role)));
        else {
          await invite(documentId, text.replace(/^@/, ""), role);
          say("Invited.");
        }
        setWho("");
        await refresh();
      }}
    >
      <PeopleInput value={who} onChange={setWho} onGroup={(group) => void attempt(() => addGroup(group))} />
      <NativeSelect
        className="role"
        label="Role"
        data={ROLES}
        value={role}
        onChange={(event) => setChosen(asRole(event.currentTarget.value))}
      />
    </Form>
  );
}

function told(entries: InvitedEntry[]): string {
  const count = entries.filter(({ outcome }) => outcome === "invited").length;
  const others = entries.filter(({ outcome }) => outcome !== "invited");
  return [`${count} invited.`, ...others.map(({ text, outcome }) => `${text}: ${OUTCOMES[outcome]}.`)].join("\n");
}
