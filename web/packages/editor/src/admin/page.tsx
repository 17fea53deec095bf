/** For administrators: people, invitations to make an account, all documents, what happened, keys. */

import { NavLink, useParams } from "react-router";
import { Page } from "../parts/page";
import NotFound from "../states/not_found";
import { AllDocuments } from "./documents";
import { Events } from "./events";
import { ServerInvitations } from "./invitations";
import { Keys } from "./keys";
import { Users } from "./users";

const PARTS = {
  users: { text: "People", page: <Users /> },
  invitations: { text: "Invitations", page: <ServerInvitations /> },
  documents: { text: "All documents", page: <AllDocuments /> },
  events: { text: "Events", page: <Events /> },
  keys: { text: "Keys", page: <Keys /> },
};

export default function AdminPage() {
  const { part = "" } = useParams();
  if (!isPart(part)) return <NotFound />;
  return (
    <Page title="Administration">
      <nav className="tabs" aria-label="What to administer">
        {Object.entries(PARTS).map(([name, { text }]) => (
          <NavLink key={name} to={`/admin/${name}`}>
            {text}
          </NavLink>
        ))}
      </nav>
      {PARTS[part].page}
    </Page>
  );
}

function isPart(name: string): name is keyof typeof PARTS {
  return Object.hasOwn(PARTS, name);
}
