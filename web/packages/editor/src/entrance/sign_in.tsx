import { PasswordInput, TextInput } from "@mantine/core";
import { Link } from "react-router";
import { signIn } from "../api/sessions";
import { setArrival, useArrival } from "../arrival";
import { Form } from "../parts/form";
import { Page } from "../parts/page";
import { useSession } from "../session";
import { Providers } from "./providers";
import { Reason } from "./reason";
import { SetupMissing } from "./setup_missing";

/** Signing in; what was asked for is shown afterwards, at the address that one is at. */
export default function SignIn() {
  const session = useSession();
  const mayJoin = useMaySignUp();
  const arrival = useArrival();
  if (session.server?.needsSetup) return <SetupMissing />;
  return (
    <Page title="Sign in" narrow>
      <Reason />
      <Form
        submit="Sign in"
        action={async ({ name = "", password = "" }) => {
          const begun = await signIn(name.trim(), password);
          if (arrival?.kind === "error") setArrival(null);
          await session.begin(begun);
        }}
      >
        <TextInput
          name="name"
          label="Handle or e-mail"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          required
          autoFocus
        />
        <PasswordInput name="password" label="Password" autoComplete="current-password" required />
      </Form>
      <Providers />
      <div className="links">
        {mayJoin ? (
          <p>
            New here? <Link to="/sign-up">Create an account</Link>
          </p>
        ) : (
          <p className="quiet">Accounts here are by invitation: ask somebody who has one to invite you.</p>
        )}
        <p>
          <Link to="/reset">Forgot your password?</Link>
        </p>
      </div>
    </Page>
  );
}

export function useMaySignUp(): boolean {
  const { server } = useSession();
  const arrival = useArrival();
  return server !== null && !server.needsSetup && (server.openSignUp || arrival?.kind === "invitation");
}
