import { Button } from "@mantine/core";
import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { acceptSecret } from "../api/invitations";
import { Problem, textOf } from "../api/problem";
import { setArrival, useArrival } from "../arrival";
import { ActionButton } from "../parts/action_button";
import { useSession } from "../session";
import { ExpiredLink } from "../states/expired_link";
import { State } from "../states/state";
import { useMaySignUp } from "./sign_in";

/** An invitation that came by mail. Whoever accepts it uses it up: so it asks first, and says as whom. */
export default function Invite() {
  const arrival = useArrival();
  const { account } = useSession();
  const navigate = useNavigate();
  const mayJoin = useMaySignUp();
  const [refusal, setRefusal] = useState("");
  if (refusal) return <ExpiredLink text={refusal} />;
  if (arrival?.kind !== "invitation") return <ExpiredLink />;
  if (!account) {
    return (
      <State title="You are invited" text="To accept, create an account, or sign in to the one you have.">
        {mayJoin && (
          <Button component={Link} to="/sign-up">
            Create an account
          </Button>
        )}
        <Button component={Link} to="/sign-in" variant="default">
          Sign in
        </Button>
      </State>
    );
  }
  const accept = async () => {
    try {
      const { documentId } = await acceptSecret(arrival.secret);
      navigate(`/d/${encodeURIComponent(documentId)}`);
      setArrival(null);
    } catch (error) {
      if (!(error instanceof Problem) || error.status === 429 || error.isUncertain) throw error;
      setRefusal(textOf(error));
      setArrival(null);
    }
  };
  const later = () => {
    navigate("/");
    setArrival(null);
  };
  return (
    <State
      title="You are invited"
      text={`You are signed in as ${account.displayName}. Whoever accepts this invitation uses it up.`}
    >
      <ActionButton variant="filled" action={accept}>
        Accept
      </ActionButton>
      <Button variant="default" onClick={later}>
        Not now
      </Button>
    </State>
  );
}
