/** Where one is signed in, and where else one signs in. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { linkIdentity, listIdentities, seeAccount, unlinkIdentity } from "../api/accounts";
import { keys } from "../api/keys";
import type { Account, Identity, SessionRow } from "../api/models";
import { endSession, listSessions, signOutEverywhere } from "../api/sessions";
import { setArrival, useArrival } from "../arrival";
import { ActionButton } from "../parts/action_button";
import { confirm, dialog } from "../parts/dialogs";
import { Form } from "../parts/form";
import { Moment } from "../parts/moment";
import { Tag } from "../parts/notice";
import { Page, Part } from "../parts/page";
import { CurrentPassword } from "../parts/passwords";
import { useSession } from "../session";
import { say } from "../shell/say";
import { Failed } from "../states/failed";
import { Opening } from "../states/opening";
import { browserName } from "./browser";
import { AccountTabs } from "./tabs";

export default function SessionsPage() {
  const { end } = useSession();
  const sessions = useQuery({ queryKey: keys.sessions, queryFn: listSessions });
  const arrival = useArrival();
  useEffect(() => {
    if (arrival?.kind !== "linked") return;
    setArrival(null);
    say("You can sign in there from now on.");
  }, [arrival]);
  const everywhere = async () => {
    const text = "Every session ends, this one too. API tokens stay.";
    if (!(await confirm("Sign out everywhere?", text, "Sign out everywhere"))) return;
    await signOutEverywhere();
    await end();
    say("You are signed out everywhere.");
  };
  return (
    <Page title="Signing in">
      <AccountTabs />
      <Part title="Where you are signed in">
        {sessions.isPending && <Opening />}
        {sessions.isError && <Failed error={sessions.error} again={() => void sessions.refetch()} />}
        <ul className="rows" aria-label="Sessions">
          {sessions.data?.map((item) => (
            <SessionItem key={item.sessionId} item={item} />
          ))}
        </ul>
        <ActionButton action={everywhere}>Sign out everywhere</ActionButton>
      </Part>
      <Elsewhere />
    </Page>
  );
}

function SessionItem({ item }: { item: SessionRow }) {
  const queries = useQueryClient();
  const endIt = async () => {
    await endSession(item.sessionId);
    await queries.invalidateQueries({ queryKey: keys.sessions });
    say("That session has ended.");
  };
  return (
    <li className="row">
      <div className="grow">
        <span className="name">{browserName(item.client)}</span>
        <p className="meta">
          <span>{item.address || "address not known"}</span>
          <span>
            used <Moment at={item.usedAt} />
          </span>
        </p>
      </div>
      {item.current ? (
        <Tag kind="good">this one</Tag>
      ) : (
        <ActionButton aria-label={`End the session of ${browserName(item.client)}`} action={endIt}>
          End
        </ActionButton>
      )}
    </li>
  );
}

/** Nothing where this server offers no other place and none is linked. */
function Elsewhere() {
  const { server } = useSession();
  const account = useQuery({ queryKey: keys.account, queryFn: seeAccount });
  const identities = useQuery({ queryKey: keys.identities, queryFn: listIdentities });
  if (!account.data || !identities.data) return null;
  const offered = server?.providers ?? [];
  const others = identities.data.filter((each) => !offered.some(({ name }) => name === each.provider));
  if (offered.length + others.length === 0) return null;
  return (
    <Part title="Signing in elsewhere">
      <ul className="rows">
        {offered.map(({ name, label }) => (
          <Place
            key={name}
            name={name}
            label={label}
            account={account.data}
            identity={identities.data.find((each) => each.provider === name)}
          />
        ))}
        {others.map((each) => (
          <li key={each.issuer} className="row quiet">
            {each.issuer}
          </li>
        ))}
      </ul>
    </Part>
  );
}

interface PlaceProps {
  name: string;
  label: string;
  account: Account;
  identity: Identity | undefined;
}

function Place({ name, label, account, identity }: PlaceProps) {
  const queries = useQueryClient();
  const word = identity ? "Unlink" : "Link";
  const act = async (currentPassword: string | null) => {
    if (!identity) return location.assign((await linkIdentity(name, currentPassword)).url);
    await unlinkIdentity(name, currentPassword);
    await queries.invalidateQueries({ queryKey: keys.identities });
    say(`You do not sign in with ${label} any more.`);
  };
  const ask = () =>
    dialog(`${word} ${label}`, (close) => (
      <Form
        submit={`${word} ${label}`}
        action={async (values) => {
          await act(values["currentPassword"] ?? "");
          close("done");
        }}
      >
        <CurrentPassword needed />
      </Form>
    ));
  return (
    <li className="row">
      <div className="grow">
        <span className="name">{label}</span>
        <p className="meta">
          {identity ? (
            <span>
              linked <Moment at={identity.linkedAt} />
            </span>
          ) : (
            "not linked"
          )}
        </p>
      </div>
      <ActionButton
        aria-label={`${word} ${label}`}
        action={async () => (account.hasPassword ? await ask() : await act(null))}
      >
        {word}
      </ActionButton>
    </li>
  );
}
