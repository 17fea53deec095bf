import { TextInput } from "@mantine/core";
import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { askReset, resetPassword } from "../api/accounts";
import { setArrival, useArrival } from "../arrival";
import { Form } from "../parts/form";
import { Notice } from "../parts/notice";
import { Page } from "../parts/page";
import { NewPassword } from "../parts/passwords";
import { useSession } from "../session";
import { say } from "../shell/say";

/** A forgotten password: asks for a link; and whoever comes by that link chooses a new one. */
export default function Reset() {
  const arrival = useArrival();
  return arrival?.kind === "reset" ? <NewPasswordPage secret={arrival.secret} /> : <Ask />;
}

function Ask() {
  const [told, setTold] = useState("");
  return (
    <Page title="Forgot your password?" narrow>
      <p className="lead">Type the address that you have verified. A link to choose a new password goes there.</p>
      <Form submit="Send the link" action={async ({ email = "" }) => setTold((await askReset(email.trim())).detail)}>
        <TextInput name="email" type="email" label="E-mail" autoComplete="email" required autoFocus />
      </Form>
      {told && (
        <Notice kind="good" role="status">
          {told}
        </Notice>
      )}
      <div className="links">
        <p>
          <Link to="/sign-in">Back to signing in</Link>
        </p>
      </div>
    </Page>
  );
}

function NewPasswordPage({ secret }: { secret: string }) {
  const { reload } = useSession();
  const navigate = useNavigate();
  return (
    <Page title="Choose a new password" narrow>
      <Form
        submit="Set the password"
        action={async ({ newPassword = "" }) => {
          await resetPassword(secret, newPassword);
          navigate("/sign-in");
          setArrival(null);
          await reload();
          say("Your password is changed. Sign in with it.");
        }}
      >
        <NewPassword
          label="New password"
          name="newPassword"
          hint="At least 10 characters. You will be signed out everywhere."
        />
      </Form>
    </Page>
  );
}
