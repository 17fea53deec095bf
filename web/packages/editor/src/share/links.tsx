import { NativeSelect } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { keys } from "../api/keys";
import { createLink, listLinks, switchOffLink } from "../api/links";
import type { Link } from "../api/models";
import { ActionButton } from "../parts/action_button";
import { confirm, showOnce } from "../parts/dialogs";
import { Form } from "../parts/form";
import { Moment } from "../parts/moment";
import { say } from "../shell/say";
import { LESSER_ROLES, LIVE_MS } from "./roles";
import { useRefresh } from "./use_refresh";

const DAY = 86_400;
const ENDS = [
  { value: "", label: "until switched off" },
  { value: String(DAY), label: "for a day" },
  { value: String(7 * DAY), label: "for a week" },
  { value: String(30 * DAY), label: "for 30 days" },
];

/** Links for whoever has them. */
export function Links({ documentId }: { documentId: string }) {
  const refresh = useRefresh(documentId);
  const links = useQuery({
    queryKey: keys.links(documentId),
    queryFn: () => listLinks(documentId),
    refetchInterval: LIVE_MS,
  });
  return (
    <section aria-label="Links">
      <h3>Links</h3>
      {links.data?.length === 0 && <p className="quiet">No link is on.</p>}
      {links.data && links.data.length > 0 && (
        <ul className="rows">
          {links.data.map((link) => (
            <LinkRow key={link.linkId} documentId={documentId} link={link} />
          ))}
        </ul>
      )}
      <br />
      <Form
        submit="Make a link"
        inline
        action={async (values) => {
          const role = values["role"] === "editor" ? "editor" : "viewer";
          const seconds = Number(values["ends"]) || undefined;
          const { url } = await createLink(documentId, role, seconds);
          await refresh();
          const what = role === "editor" ? "edit, with an account" : "view";
          const until = seconds ? "" : ", until you switch it off";
          await showOnce("A link to share", `Whoever has it can ${what}${until}. It is shown only this once.`, url);
        }}
      >
        <NativeSelect name="role" label="Whoever has it" data={LESSER_ROLES} defaultValue="viewer" />
        <NativeSelect name="ends" label="How long" data={ENDS} />
      </Form>
    </section>
  );
}

function LinkRow({ documentId, link }: { documentId: string; link: Link }) {
  const refresh = useRefresh(documentId);
  const text = link.role === "editor" ? "Whoever has it can edit" : "Whoever has it can view";
  const off = async () => {
    if (!(await confirm("Switch this link off?", "Whoever has only the link is out at once.", "Switch off"))) return;
    await switchOffLink(documentId, link.linkId);
    await refresh();
    say("The link is off.");
  };
  return (
    <li className="row">
      <div className="grow">
        <span className="name">{text}</span>
        <p className="meta">
          <span>
            made <Moment at={link.createdAt} />
          </span>
          <span>{link.visitors === 1 ? "1 person came by it" : `${link.visitors} people came by it`}</span>
          {link.expiresAt && (
            <span>
              ends <Moment at={link.expiresAt} />
            </span>
          )}
        </p>
      </div>
      <ActionButton action={off}>Switch off</ActionButton>
    </li>
  );
}
