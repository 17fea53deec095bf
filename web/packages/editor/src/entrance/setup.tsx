import { setUp } from "../api/sessions";
import { setArrival, useArrival } from "../arrival";
import { Form } from "../parts/form";
import { Page } from "../parts/page";
import { useSession } from "../session";
import { say } from "../shell/say";
import { ExpiredLink } from "../states/expired_link";
import { AccountFields, newAccount } from "./account_fields";
import { SetupMissing } from "./setup_missing";

/** The first administrator, with the secret that the server printed. */
export default function Setup() {
  const session = useSession();
  const arrival = useArrival();
  if (arrival?.kind !== "setup") return session.server?.needsSetup ? <SetupMissing /> : <ExpiredLink />;
  return (
    <Page title="Set up this server" narrow>
      <p className="lead">You are the first here. This account will administer the server.</p>
      <Form
        submit="Create the administrator"
        action={async (values) => {
          const begun = await setUp(newAccount(values), arrival.secret);
          setArrival(null);
          await session.begin(begun);
          say("Welcome! This server is yours now.");
        }}
      >
        <AccountFields />
      </Form>
    </Page>
  );
}
