import { Link } from "react-router";
import { signUp } from "../api/sessions";
import { setArrival, useArrival } from "../arrival";
import { Form } from "../parts/form";
import { Notice } from "../parts/notice";
import { Page } from "../parts/page";
import { useSession } from "../session";
import { say } from "../shell/say";
import { AccountFields, newAccount } from "./account_fields";
import { Providers } from "./providers";
import { Reason } from "./reason";
import { SetupMissing } from "./setup_missing";
import { useMaySignUp } from "./sign_in";

export default function SignUp() {
  const session = useSession();
  const arrival = useArrival();
  const mayJoin = useMaySignUp();
  if (session.server?.needsSetup) return <SetupMissing />;
  const toSignIn = (
    <div className="links">
      <p>
        You have an account? <Link to="/sign-in">Sign in</Link>
      </p>
    </div>
  );
  if (!mayJoin) {
    return (
      <Page title="Create an account" narrow>
        <Notice>Accounts here are by invitation: ask somebody who has one to invite you.</Notice>
        {toSignIn}
      </Page>
    );
  }
  return (
    <Page title="Create an account" narrow>
      <Reason />
      <Form
        submit="Create account"
        action={async (values) => {
          const invitation = arrival?.kind === "invitation" ? arrival.secret : null;
          const begun = await signUp(newAccount(values), invitation);
          if (invitation !== null) setArrival(null);
          await session.begin(begun);
          say(values["email"] ? "Welcome! A link to verify your address is on its way." : "Welcome!");
        }}
      >
        <AccountFields />
      </Form>
      <Providers />
      {toSignIn}
    </Page>
  );
}
